"""The exports of a transform: the loop between the columns and the function over a record."""

import json

from componentize_py_types import Err
from wit_world.imports.types import Columns, Failure, Tagged, TransformVerdict_Tagged

import plugin
from tidegate.output import Output
from tidegate.record import for_each


class WitWorld:
    def configure(self, config):
        try:
            return plugin.configure(json.loads(config), Columns)
        except Exception as error:
            raise Err(f"configuration: {error}")

    def transform(self, batch, context):
        out = Output(batch.count)

        def run(record):
            out.record = record.index
            plugin.transform(record, out)

        failed = for_each(batch, context, run, Failure)
        return TransformVerdict_Tagged(Tagged(*out.finish(failed), failed))
