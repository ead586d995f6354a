"""The application behind `cache`, as the asset graph shows it."""

import ast
import inspect

import dagster as dg

from reverse_etl.components.factory import build_definitions
from reverse_etl.serving import Reader
from reverse_etl_tests.components.harness import build_spec, complete

READER = dg.AssetKey(["shop_users", "reader"])


def test_reader_stands_behind_cache() -> None:
    """In the sync's own group, with its owners; nobody can materialise it."""
    spec = build_spec(owners=["team:growth"])

    node = complete(build_definitions(spec)).resolve_asset_graph().get(READER)

    assert node.parent_keys == {dg.AssetKey(["shop_users", "cache"])}
    assert (node.group_name, node.kinds) == ("shop_users", {"redis", "python"})
    assert list(node.owners) == ["team:growth"]
    assert not node.is_executable


def test_reader_shows_how_to_read() -> None:
    """The lines can be copied: they name this sync, and what `connect` takes."""
    node = complete(build_definitions(build_spec())).resolve_asset_graph().get(READER)

    lines = str(node.description).partition("```python")[2].partition("```")[0]
    (call,) = [
        it
        for it in ast.walk(ast.parse(lines))
        if isinstance(it, ast.Call) and getattr(it.func, "attr", "") == "connect"
    ]
    names = {str(keyword.arg) for keyword in call.keywords}
    assert '"shop_users"' in lines
    assert names <= set(inspect.signature(Reader.connect).parameters)


def test_group_is_selected_without_the_reader() -> None:
    """`dg launch --assets 'group:"shop_users"'` takes what can be materialised, and no more."""
    definitions = complete(build_definitions(build_spec()))
    graph = definitions.resolve_asset_graph()

    for selection in ('group:"shop_users"', 'key:"shop_users/masked"+ and group:"shop_users"'):
        selected = dg.AssetSelection.from_string(selection).resolve(graph)
        assert selected
        assert READER not in selected


def test_group_check_is_declared_with_privacy_alone() -> None:
    """A sync that promises nothing of groups has no check of them that could stay grey."""
    private = build_spec(privacy={"quasi_identifiers": ["name"], "k": 5})

    plain, promised = (
        {key.name for key in complete(build_definitions(it)).resolve_asset_graph().asset_check_keys}
        for it in (build_spec(), private)
    )

    assert promised - plain == {"k_anonymity"}
