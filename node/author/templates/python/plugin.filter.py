"""Keeps the records whose JSON field `value` is above a limit.

A record without a number in that field fails; how a plugin is attached decides what becomes of
those.
"""

import json

from tidegate.record import RecordFailure

above = 0.0


def configure(config, columns):
    """Takes the configuration; gives the parts of a record that are read, or raises what is wrong."""
    global above
    if not is_number(config.get("above")):
        raise ValueError("`above` must be a number")
    above = config["above"]
    return columns.VALUES


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_hot(record):
    try:
        number = json.loads(record.value)["value"]
    except (ValueError, TypeError, KeyError):
        number = None
    if not is_number(number):
        raise RecordFailure("no number in the field value")
    return number > above


def keep(record):
    return is_hot(record)
