"""What a transform puts out for the record at hand. It stays as it is unless something is called."""

KEEP, DROP, REPLACE, NULL = range(4)


class Output:
    def __init__(self, count):
        self.tags = bytearray(count)
        self.made = {}
        self.record = 0

    def drop(self):
        """The record is dropped."""
        self.tags[self.record] = DROP

    def null_value(self):
        """The value becomes null."""
        self.tags[self.record] = NULL

    def replace(self, value):
        """Another value, as bytes."""
        self.tags[self.record] = REPLACE
        self.made[self.record] = value

    def finish(self, failed):
        """The columns of the answer; a record that failed leaves nothing behind."""
        for failure in failed:
            self.tags[failure.record] = KEEP
        values = [value for i, value in self.made.items() if self.tags[i] == REPLACE]
        ends, length = [], 0
        for value in values:
            length += len(value)
            ends.append(length)
        return bytes(self.tags), b"".join(values), ends
