"""Rules for the news of the example: functions from a record to a topic, or nothing."""

from honed import rule


@rule("Railway")
def speaks_of_trains(row):
    """A train, a platform or a station."""
    return any(word in row.text.lower() for word in ("train", "platform", "coaches", "locomotive", "signals"))


@rule
def title_names_a_place(row):
    """A hut or a pass is in the mountains, a ship or a pilot at sea."""
    title = row.title.lower()
    if "hut" in title.split() or "pass" in title.split():
        return "Mountain"
    if "ship" in title or "pilots" in title:
        return "Harbour"
    return None
