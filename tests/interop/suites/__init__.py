"""The suites, in the order in which they run.

A suite is a module with NAME, VERSION, SUMMARY, IN_CI, `install(log)`, which puts what it needs
into the cache once, and `run(context)`, which returns its checks. Where a tool is missing,
`install` raises Missing and the suite is skipped. PARTITIONS and PORT say what its tests take for
granted of the broker.
"""

from . import (
    aiokafka,
    confluent_kafka,
    franz_go,
    java_tools,
    kafka_python,
    kafkajs,
    kcat,
    librdkafka,
    librdkafka_groups,
    rdkafka,
    rdkafka_performance,
)

SUITES = (
    kcat,
    librdkafka,
    librdkafka_groups,
    rdkafka_performance,
    rdkafka,
    confluent_kafka,
    kafka_python,
    aiokafka,
    kafkajs,
    franz_go,
    java_tools,
)
