//! Requests about groups and their offsets.

use crate::shape::{
    Layout, boolean, bytes, int8, int32, int32s, int64, layout, rigid, string, strings, structs,
    uuid,
};

pub(super) static OFFSET_COMMIT: Layout = layout(
    8,
    &[
        string("group_id"),
        int32("generation_id_or_member_epoch"),
        string("member_id"),
        string("group_instance_id").since(7).nullable(),
        int64("retention_time_ms").until(4),
        structs(
            "topics",
            &[
                string("name"),
                structs(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int64("committed_offset"),
                        int32("committed_leader_epoch").since(6),
                        string("committed_metadata").nullable(),
                    ],
                ),
            ],
        ),
    ],
);

pub(super) static OFFSET_FETCH: Layout = layout(
    6,
    &[
        string("group_id").until(7),
        structs("topics", &[string("name"), int32s("partition_indexes")]).until(7).null_since(2),
        structs(
            "groups",
            &[
                string("group_id"),
                string("member_id").since(9).nullable(),
                int32("member_epoch").since(9),
                structs("topics", &[string("name"), int32s("partition_indexes")]).nullable(),
            ],
        )
        .since(8),
        boolean("require_stable").since(7),
    ],
);

pub(super) static OFFSET_DELETE: Layout = rigid(&[
    string("group_id"),
    structs("topics", &[string("name"), structs("partitions", &[int32("partition_index")])]),
]);

pub(super) static FIND_COORDINATOR: Layout = layout(
    3,
    &[string("key").until(3), int8("key_type").since(1), strings("coordinator_keys").since(4)],
);

pub(super) static JOIN_GROUP: Layout = layout(
    6,
    &[
        string("group_id"),
        int32("session_timeout_ms"),
        int32("rebalance_timeout_ms").since(1),
        string("member_id"),
        string("group_instance_id").since(5).nullable(),
        string("protocol_type"),
        structs("protocols", &[string("name"), bytes("metadata")]),
        string("reason").since(8).nullable(),
    ],
);

pub(super) static SYNC_GROUP: Layout = layout(
    4,
    &[
        string("group_id"),
        int32("generation_id"),
        string("member_id"),
        string("group_instance_id").since(3).nullable(),
        string("protocol_type").since(5).nullable(),
        string("protocol_name").since(5).nullable(),
        structs("assignments", &[string("member_id"), bytes("assignment")]),
    ],
);

pub(super) static HEARTBEAT: Layout = layout(
    4,
    &[
        string("group_id"),
        int32("generation_id"),
        string("member_id"),
        string("group_instance_id").since(3).nullable(),
    ],
);

pub(super) static LEAVE_GROUP: Layout = layout(
    4,
    &[
        string("group_id"),
        string("member_id").until(2),
        structs(
            "members",
            &[
                string("member_id"),
                string("group_instance_id").nullable(),
                string("reason").since(5).nullable(),
            ],
        )
        .since(3),
    ],
);

pub(super) static DESCRIBE_GROUPS: Layout =
    layout(5, &[strings("groups"), boolean("include_authorized_operations").since(3)]);

pub(super) static LIST_GROUPS: Layout =
    layout(3, &[strings("states_filter").since(4), strings("types_filter").since(5)]);

pub(super) static DELETE_GROUPS: Layout = layout(2, &[strings("groups_names")]);

pub(super) static CONSUMER_GROUP_HEARTBEAT: Layout = layout(
    0,
    &[
        string("group_id"),
        string("member_id"),
        int32("member_epoch"),
        string("instance_id").nullable(),
        string("rack_id").nullable(),
        int32("rebalance_timeout_ms"),
        strings("subscribed_topic_names").nullable(),
        string("subscribed_topic_regex").since(1).nullable(),
        string("server_assignor").nullable(),
        structs("topic_partitions", &[uuid("topic_id"), int32s("partitions")]).nullable(),
    ],
);

pub(super) static CONSUMER_GROUP_DESCRIBE: Layout =
    layout(0, &[strings("group_ids"), boolean("include_authorized_operations")]);
