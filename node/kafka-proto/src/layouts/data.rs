//! Requests about records, topics as clients see them, and the connection itself.

use crate::shape::{
    Layout, boolean, bytes, int8, int16, int32, int32s, int64, layout, string, structs, structure,
    uuid,
};

pub(super) static PRODUCE: Layout = layout(
    9,
    &[
        string("transactional_id").nullable(),
        int16("acks"),
        int32("timeout_ms"),
        structs(
            "topic_data",
            &[
                string("name").until(12),
                uuid("topic_id").since(13),
                structs("partition_data", &[int32("index"), bytes("records").nullable()]),
            ],
        ),
    ],
);

pub(super) static FETCH: Layout = layout(
    12,
    &[
        string("cluster_id").since(12).nullable().tagged(0),
        int32("replica_id").until(14),
        structure("replica_state", &[int32("replica_id"), int64("replica_epoch")])
            .since(15)
            .tagged(1),
        int32("max_wait_ms"),
        int32("min_bytes"),
        int32("max_bytes"),
        int8("isolation_level"),
        int32("session_id").since(7),
        int32("session_epoch").since(7),
        structs(
            "topics",
            &[
                string("topic").until(12),
                uuid("topic_id").since(13),
                structs(
                    "partitions",
                    &[
                        int32("partition"),
                        int32("current_leader_epoch").since(9),
                        int64("fetch_offset"),
                        int32("last_fetched_epoch").since(12),
                        int64("log_start_offset").since(5),
                        int32("partition_max_bytes"),
                        uuid("replica_directory_id").since(17).tagged(0),
                        int64("high_watermark").since(18).tagged(1),
                    ],
                ),
            ],
        ),
        structs(
            "forgotten_topics_data",
            &[string("topic").until(12), uuid("topic_id").since(13), int32s("partitions")],
        )
        .since(7),
        string("rack_id").since(11),
    ],
);

pub(super) static LIST_OFFSETS: Layout = layout(
    6,
    &[
        int32("replica_id"),
        int8("isolation_level").since(2),
        structs(
            "topics",
            &[
                string("name"),
                structs(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int32("current_leader_epoch").since(4),
                        int64("timestamp"),
                    ],
                ),
            ],
        ),
        int32("timeout_ms").since(10),
    ],
);

pub(super) static OFFSET_FOR_LEADER_EPOCH: Layout = layout(
    4,
    &[
        int32("replica_id").since(3),
        structs(
            "topics",
            &[
                string("topic"),
                structs(
                    "partitions",
                    &[int32("partition"), int32("current_leader_epoch"), int32("leader_epoch")],
                ),
            ],
        ),
    ],
);

pub(super) static METADATA: Layout = layout(
    9,
    &[
        structs("topics", &[uuid("topic_id").since(10), string("name").null_since(10)])
            .null_since(1),
        boolean("allow_auto_topic_creation").since(4),
        boolean("include_cluster_authorized_operations").since(8).until(10),
        boolean("include_topic_authorized_operations").since(8),
    ],
);

pub(super) static DESCRIBE_TOPIC_PARTITIONS: Layout = layout(
    0,
    &[
        structs("topics", &[string("name")]),
        int32("response_partition_limit"),
        structure("cursor", &[string("topic_name"), int32("partition_index")]).nullable(),
    ],
);

pub(super) static INIT_PRODUCER_ID: Layout = layout(
    2,
    &[
        string("transactional_id").nullable(),
        int32("transaction_timeout_ms"),
        int64("producer_id").since(3),
        int16("producer_epoch").since(3),
    ],
);

pub(super) static API_VERSIONS: Layout = layout(
    3,
    &[string("client_software_name").since(3), string("client_software_version").since(3)],
);
