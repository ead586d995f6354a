"""What the launchpad says of a configuration that is wrong: which field, and what it can be."""

import dagster as dg
import pytest

from reverse_etl.components.factory import build_definitions
from reverse_etl.jobs import build_jobs
from reverse_etl.jobs.launchpad import choose_sync
from reverse_etl_tests.components.harness import build_spec, complete

SPECS = [build_spec(name="a_sync"), build_spec(name="b_sync")]
OPS = {
    "rollback": "roll_back",
    "verify": "verify_each",
    "rebuild": "rebuild_cache",
    "sweep": "sweep_each",
    "warm": "warm_cache",
}


def validate(job: str, config: dict[str, object]) -> None:
    definitions = complete(build_jobs(SPECS)).resolve_job_def(job)
    dg.validate_run_config(definitions, {"ops": {OPS[job]: {"config": config}}})


@pytest.mark.parametrize(
    ("job", "config", "said"),
    [
        ("rollback", {"sync": "c_sync"}, "config:sync not in enum type a_sync | b_sync got c_sync"),
        ("verify", {"sync": "c"}, "config:sync not in enum type all | a_sync | b_sync got c"),
        ("sweep", {"sync": ["a_sync"]}, "config:sync for enum type all | a_sync | b_sync must be"),
        ("rebuild", {}, 'Missing required config entry "sync"'),
        ("rebuild", {"sync": "all"}, "config:sync not in enum type a_sync | b_sync got all"),
        ("warm", {"sync": "a_sync"}, 'Missing required config entry "version"'),
        ("warm", {"sync": "a_sync", "version": 3}, 'config:version. Value "3" of type'),
        ("rebuild", {"sync": "a_sync", "forse": True}, 'Received unexpected config entry "forse"'),
        ("rebuild", {"sync": "a_sync", "force": "yes"}, 'expected type "Bool"'),
        ("sweep", {"older_than_hours": 0}, "config:older_than_hours of original value 0 failed"),
        ("sweep", {"older_than_hours": 721}, "721 is not a whole number from 1 to 720"),
        ("sweep", {"older_than_hours": 1.5}, "whole number from 1 to 720"),
    ],
)
def test_wrong_configuration_names_field_and_choices(
    job: str, config: dict[str, object], said: str
) -> None:
    """Before a run is made of it; a slip of the pen is no silent default."""
    with pytest.raises(dg.DagsterInvalidConfigError) as caught:
        validate(job, config)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("job", "config"),
    [
        ("rollback", {"sync": "a_sync"}),
        ("verify", {}),
        ("verify", {"sync": "all"}),
        ("verify", {"sync": "b_sync", "version": "2024-01-05.01kxqt5w8b7g4m2t"}),
        ("rebuild", {"sync": "b_sync", "kept": True}),
        ("sweep", {"older_than_hours": 1}),
        ("sweep", {"sync": "a_sync", "older_than_hours": 720}),
        ("warm", {"sync": "a_sync", "version": "2024-01-05.01kxqt5w8b7g4m2t"}),
    ],
)
def test_right_configuration_is_taken(job: str, config: dict[str, object]) -> None:
    """The shortest one and the longest one."""
    validate(job, config)


def test_every_field_is_described() -> None:
    """Who opens the launchpad reads what each field does."""
    definitions = complete(build_jobs(SPECS))

    for job, op in OPS.items():
        schema = definitions.resolve_job_def(job).get_node_named(op).definition
        assert isinstance(schema, dg.OpDefinition)
        fields = schema.config_schema.config_type.fields  # type: ignore[union-attr]
        assert all(field.description for field in fields.values())


def test_many_syncs_are_named_in_part() -> None:
    """A type's name is shown whole: with two hundred syncs it is still read. Other syncs, another name."""
    many = [build_spec(name=f"s{number:03}") for number in range(200)]

    name, other = choose_sync(many).given_name, choose_sync(many[:-1]).given_name

    assert name is not None
    assert name.startswith("s000 | s001 |")
    assert "188 more" in name
    assert name != other


def test_without_a_sync_there_is_no_job() -> None:
    """A choice among none is no choice."""
    assert not build_jobs([]).jobs


def test_jobs_stand_beside_those_of_the_syncs() -> None:
    """No name is used twice, whatever the syncs are called."""
    definitions = complete(*(build_definitions(spec) for spec in SPECS[:1]), build_jobs(SPECS))

    dg.Definitions.validate_loadable(definitions)
