"""A record, read in place from the columns that the node hands over."""

NULL_KEY = 1
NULL_VALUE = 2


class RecordFailure(Exception):
    """The plugin cannot handle this record; any other exception counts as well."""


class Record:
    __slots__ = ("batch", "context", "index")

    def __init__(self, batch, context):
        self.batch = batch
        self.context = context
        self.index = 0

    @property
    def timestamp(self):
        """Milliseconds since 1970; None where it has none."""
        column = self.batch.timestamps
        return column[self.index] if column and column[self.index] != -1 else None

    @property
    def key(self):
        """The key; None where it is null."""
        return self._item(self.batch.keys, self.batch.key_ends, NULL_KEY)

    @property
    def value(self):
        """The value; None where it is null."""
        return self._item(self.batch.values, self.batch.value_ends, NULL_VALUE)

    @property
    def headers(self):
        """(u32 name length, u32 value length, name, value)*; 0xffffffff is a null value."""
        return self._item(self.batch.headers, self.batch.header_ends, 0)

    @property
    def partitions(self):
        """How many partitions the topic has."""
        return self.context.partitions

    def _item(self, data, ends, null):
        i = self.index
        nulls = self.batch.nulls
        if not ends or (nulls and nulls[i] & null):
            return None
        return data[ends[i - 1] if i else 0 : ends[i]]


def for_each(batch, context, run, failure):
    """Runs a function over each record; gives those over which it raised."""
    record = Record(batch, context)
    failed = []
    for i in range(batch.count):
        record.index = i
        try:
            run(record)
        except Exception as error:
            failed.append(failure(i, str(error) or type(error).__name__))
    return failed
