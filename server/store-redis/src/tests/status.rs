//! The status numbers of version 0.1.

use chasqui_store_suite::{confirming, id, updating};

use super::*;

#[tokio::test]
async fn versions_of_0_1_are_mapped_and_can_be_updated() {
    let server = start().await;
    let store = open_standalone(&server).await;
    for (old, today) in [
        (1, 11),
        (2, 12),
        (3, 15),
        (4, 16),
        (5, 17),
        (6, 1000),
        (7, 1001),
    ] {
        let name = format!("p{old}");
        store
            .observe(&id(&name), &confirming("{}", 10))
            .await
            .expect("begin");
        let key = key("payment", &name);
        server
            .command(&["HSET", &key, "status", &old.to_string()])
            .await;
        let read = store.states(&[id(&name)]).await.expect("read")[0].expect("known");
        assert_eq!(read.version.number(), today);
        let outcome = store
            .observe(&id(&name), &updating(Some(today), 27, 20))
            .await
            .expect("observe");
        assert_eq!(outcome.before.expect("known").version.number(), today);
        assert_eq!(outcome.after.version.number(), today.max(27));
    }
}
