//! Requests of administrators: topics, configurations, the cluster.

use crate::shape::{
    Layout, boolean, int8, int8s, int16, int32, int32s, int64, layout, string, strings, structs,
    uuid,
};

pub(super) static CREATE_TOPICS: Layout = layout(
    5,
    &[
        structs(
            "topics",
            &[
                string("name"),
                int32("num_partitions"),
                int16("replication_factor"),
                structs("assignments", &[int32("partition_index"), int32s("broker_ids")]),
                structs("configs", &[string("name"), string("value").nullable()]),
            ],
        ),
        int32("timeout_ms"),
        boolean("validate_only"),
    ],
);

pub(super) static DELETE_TOPICS: Layout = layout(
    4,
    &[
        structs("topics", &[string("name").nullable(), uuid("topic_id")]).since(6),
        strings("topic_names").until(5),
        int32("timeout_ms"),
    ],
);

pub(super) static CREATE_PARTITIONS: Layout = layout(
    2,
    &[
        structs(
            "topics",
            &[
                string("name"),
                int32("count"),
                structs("assignments", &[int32s("broker_ids")]).nullable(),
            ],
        ),
        int32("timeout_ms"),
        boolean("validate_only"),
    ],
);

pub(super) static DELETE_RECORDS: Layout = layout(
    2,
    &[
        structs(
            "topics",
            &[string("name"), structs("partitions", &[int32("partition_index"), int64("offset")])],
        ),
        int32("timeout_ms"),
    ],
);

pub(super) static ELECT_LEADERS: Layout = layout(
    2,
    &[
        int8("election_type").since(1),
        structs("topic_partitions", &[string("topic"), int32s("partitions")]).nullable(),
        int32("timeout_ms"),
    ],
);

pub(super) static LIST_PARTITION_REASSIGNMENTS: Layout = layout(
    0,
    &[
        int32("timeout_ms"),
        structs("topics", &[string("name"), int32s("partition_indexes")]).nullable(),
    ],
);

pub(super) static DESCRIBE_CONFIGS: Layout = layout(
    4,
    &[
        structs(
            "resources",
            &[
                int8("resource_type"),
                string("resource_name"),
                strings("configuration_keys").nullable(),
            ],
        ),
        boolean("include_synonyms"),
        boolean("include_documentation").since(3),
    ],
);

pub(super) static ALTER_CONFIGS: Layout = layout(
    2,
    &[
        structs(
            "resources",
            &[
                int8("resource_type"),
                string("resource_name"),
                structs("configs", &[string("name"), string("value").nullable()]),
            ],
        ),
        boolean("validate_only"),
    ],
);

pub(super) static INCREMENTAL_ALTER_CONFIGS: Layout = layout(
    1,
    &[
        structs(
            "resources",
            &[
                int8("resource_type"),
                string("resource_name"),
                structs(
                    "configs",
                    &[string("name"), int8("config_operation"), string("value").nullable()],
                ),
            ],
        ),
        boolean("validate_only"),
    ],
);

pub(super) static LIST_CONFIG_RESOURCES: Layout = layout(0, &[int8s("resource_types").since(1)]);

pub(super) static DESCRIBE_LOG_DIRS: Layout =
    layout(2, &[structs("topics", &[string("topic"), int32s("partitions")]).nullable()]);

pub(super) static DESCRIBE_CLUSTER: Layout = layout(
    0,
    &[
        boolean("include_cluster_authorized_operations"),
        int8("endpoint_type").since(1),
        boolean("include_fenced_brokers").since(2),
    ],
);

pub(super) static DESCRIBE_PRODUCERS: Layout =
    layout(0, &[structs("topics", &[string("name"), int32s("partition_indexes")])]);
