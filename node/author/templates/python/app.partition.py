"""The exports of a partition: the loop between the columns and the function over a record."""

import json

from componentize_py_types import Err
from wit_world.imports.types import Columns, Failure, Chosen, PartitionVerdict_Chosen

import plugin
from tidegate.record import for_each


class WitWorld:
    def configure(self, config):
        try:
            return plugin.configure(json.loads(config), Columns)
        except Exception as error:
            raise Err(f"configuration: {error}")

    def partition(self, batch, context):
        partitions = [0] * batch.count

        def run(record):
            partitions[record.index] = plugin.partition(record)

        failed = for_each(batch, context, run, Failure)
        return PartitionVerdict_Chosen(Chosen(partitions, failed))
