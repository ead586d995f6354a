"""The channels that are set."""

from reverse_etl.alerts.email import EmailChannel
from reverse_etl.alerts.options import AlertOptions
from reverse_etl.alerts.outcome import Channel
from reverse_etl.alerts.slack import SlackChannel
from reverse_etl.alerts.webhook import WebhookChannel


def build_channels(options: AlertOptions) -> tuple[Channel, ...]:
    """Each with a state of its own in the outbox; a recipient of mail is one. Nothing is connected."""
    channels: list[Channel] = []
    if options.slack is not None:
        channels.append(SlackChannel(options.slack))
    if options.webhook is not None:
        channels.append(WebhookChannel(options.webhook, options.webhook_key))
    mail = options.mail
    if mail is not None:
        channels += [
            EmailChannel(mail, recipient, number=number)
            for number, recipient in enumerate(mail.recipients, 1)
        ]
    return tuple(channels)
