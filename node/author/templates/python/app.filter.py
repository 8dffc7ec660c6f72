"""The exports of a filter: the loop between the columns and the function over a record."""

import json

from componentize_py_types import Err
from wit_world.imports.types import Columns, Failure, FilterVerdict_Kept, Kept

import plugin
from tidegate.record import for_each


class WitWorld:
    def configure(self, config):
        try:
            return plugin.configure(json.loads(config), Columns)
        except Exception as error:
            raise Err(f"configuration: {error}")

    def filter(self, batch, context):
        bitmap = bytearray((batch.count + 7) // 8)

        def run(record):
            if plugin.keep(record):
                bitmap[record.index >> 3] |= 1 << (record.index & 7)

        failed = for_each(batch, context, run, Failure)
        return FilterVerdict_Kept(Kept(bytes(bitmap), failed))
