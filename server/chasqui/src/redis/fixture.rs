//! Settings for the Redis processes of tests.

use std::time::Duration;

use redis_processes::{RedisCluster, RedisServer, SentinelTrio};

use super::{Address, Settings, Topology};

pub(crate) fn settings(topology: Topology) -> Settings {
    Settings {
        wait_replicas: match topology {
            Topology::Standalone(_) => 0,
            _ => 1,
        },
        topology,
        tls: false,
        ca_file: None,
        username: None,
        password: None,
        sentinel_password: None,
        database: 0,
        wait_timeout: Duration::from_secs(1),
        retention: Duration::from_secs(30 * 24 * 3600),
        raw_retention: Duration::from_secs(7 * 24 * 3600),
        accept_data_loss: false,
    }
}

pub(crate) fn standalone(server: &RedisServer) -> Settings {
    settings(Topology::Standalone(at(server)))
}

pub(crate) fn cluster(cluster: &RedisCluster) -> Settings {
    settings(Topology::Cluster(cluster.nodes.iter().map(at).collect()))
}

pub(crate) fn sentinels(trio: &SentinelTrio) -> Settings {
    settings(Topology::Sentinel {
        sentinels: trio.sentinels.iter().map(at).collect(),
        master: redis_processes::sentinel::MASTER_NAME.into(),
    })
}

fn at(server: &RedisServer) -> Address {
    Address {
        host: server.address().ip().to_string(),
        port: server.port(),
    }
}
