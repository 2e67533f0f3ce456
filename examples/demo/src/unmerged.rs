//! Stands for the gateway's and the sandbox's `run` until both are in this workspace. To connect them, delete this
//! file, its `mod` line in `main.rs` and its `use` line in `composition.rs`: the crates have the same names.

/// What the gateway will offer.
pub(crate) mod chasqui {
    pub(crate) mod config {
        pub(crate) struct Config;

        impl Config {
            #[expect(clippy::unnecessary_wraps, reason = "the gateway's own can fail")]
            pub(crate) fn from_toml(_text: &str) -> Result<Self, std::io::Error> {
                Ok(Self)
            }
        }
    }

    pub(crate) mod app {
        use tokio::net::TcpListener;

        pub(crate) struct Listeners {
            pub(crate) public: TcpListener,
            pub(crate) admin: TcpListener,
        }

        pub(crate) async fn run(
            _config: super::config::Config,
            listeners: Listeners,
            shutdown: impl Future<Output = ()> + Send + 'static,
        ) -> Result<(), std::io::Error> {
            drop((listeners.public, listeners.admin));
            shutdown.await;
            Ok(())
        }
    }
}

/// What the sandbox will offer.
pub(crate) mod khipu_sandbox {
    use tokio::net::TcpListener;

    #[derive(Default)]
    #[expect(dead_code, reason = "the sandbox's own reads them")]
    pub(crate) struct Options {
        pub(crate) api_key: String,
        pub(crate) secret: String,
        pub(crate) receiver_id: u64,
        pub(crate) public_url: Option<String>,
        pub(crate) seed: u64,
    }

    pub(crate) async fn run(
        _options: Options,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), std::io::Error> {
        drop(listener);
        shutdown.await;
        Ok(())
    }
}
