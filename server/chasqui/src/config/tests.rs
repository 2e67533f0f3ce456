use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

pub(super) const ACCOUNT: &str = r#"
[[accounts]]
name = "shop"
receiver_id = 990939
khipu_api_key = "not-a-real-key"
khipu_secrets = ["not-a-real-secret"]
"#;

pub(super) fn problems(text: &str) -> String {
    Config::from_toml(text)
        .expect_err("must be refused")
        .to_string()
}

pub(super) fn with_environment(
    text: &str,
    variables: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    Config::from_parts(
        text,
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

#[test]
fn an_account_is_all_that_is_required() {
    let config = Config::from_toml(ACCOUNT).expect("valid");
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.storage, StorageConfig::File("chasqui.db".into()));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.server.public("/v1"), "http://127.0.0.1:8080/v1");
    let warned: Vec<_> = config.warnings.iter().map(|it| it.key.as_str()).collect();
    // Khipu cannot reach a loopback address, and nothing can use the account.
    let expected = [
        "server.public_url",
        "accounts[0].api_keys",
        "accounts[0].allowed_origins",
    ];
    assert_eq!(warned, expected);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_key() {
    let text = problems(
        r#"
        [server]
        listen = "8080"
        public_url = "http://pay.example.com"
        signing_keys = ["short"]
        lisen = "x"
        [storage]
        url = "postgres://x"
        [limits]
        heartbeat_interval = "60s"
        watchers = 0
        [[accounts]]
        name = "a shop"
        receiver_id = 1
        khipu_api_key = { env = "CHASQUI_TEST_SURELY_UNSET" }
        khipu_secrets = []
        api_keys = ["chq_x", "sha256:12"]
        allowed_origins = ["https://shop.example/"]
        "#,
    );
    for key in [
        "server.listen must be an address",
        "server.public_url must be https",
        "server.signing_keys[0] is shorter",
        "server.lisen is not a known key",
        "storage.url must be sqlite",
        "limits.heartbeat_interval must be at most 40s",
        "limits.watchers must be a whole number from 1 to",
        "accounts[0].name must be",
        "accounts[0].khipu_api_key names the environment variable CHASQUI_TEST_SURELY_UNSET",
        "accounts[0].khipu_secrets is empty",
        "accounts[0].api_keys[0] is the key itself",
        "accounts[0].api_keys[1] must be sha256:",
        "accounts[0].allowed_origins[0] must be an origin as browsers send it: https://shop.example",
    ] {
        assert!(text.contains(key), "{key} is missing from:\n{text}");
    }
}

#[test]
fn a_renamed_key_is_refused_with_its_new_name() {
    for key in ["per_second", "in_flight"] {
        let text = problems(&format!("{ACCOUNT}\n[limits]\nquestions_{key} = 20\n"));
        let expected =
            format!("limits.questions_{key} is now called limits.polls_{key}; rename it");
        assert_eq!(text, expected);
        let new = format!("{ACCOUNT}\n[limits]\npolls_{key} = 20\n");
        Config::from_toml(&new).expect("valid");
    }
}

#[test]
fn a_public_url_with_a_path_is_refused() {
    for url in ["https://example.com/pay", "https://example.com/pay/"] {
        let text = problems(&format!("[server]\npublic_url = {url:?}\n{ACCOUNT}"));
        assert!(
            text.starts_with("server.public_url must have no path"),
            "{text}"
        );
    }
    for url in ["https://pay.example.com", "https://pay.example.com/"] {
        let text = format!("[server]\npublic_url = {url:?}\n{ACCOUNT}");
        let config = Config::from_toml(&text).expect("valid");
        let public = config.server.public("/return");
        assert_eq!(public, "https://pay.example.com/return");
    }
}

#[test]
fn a_heartbeat_comes_before_a_browser_gives_up_and_pings_may_be_rare() {
    let limits = Config::from_toml(ACCOUNT).expect("valid").limits;
    assert_eq!(limits.heartbeat_interval, Duration::from_secs(30));
    assert_eq!(limits.ping_interval, Duration::from_secs(120));
    let rare =
        format!("[limits]\nheartbeat_interval = \"40s\"\nping_interval = \"10m\"\n{ACCOUNT}");
    let limits = Config::from_toml(&rare).expect("valid").limits;
    assert_eq!(limits.ping_interval, Duration::from_secs(600));
    for interval in ["41s", "59s", "2m"] {
        let text = problems(&format!(
            "[limits]\nheartbeat_interval = {interval:?}\n{ACCOUNT}"
        ));
        assert!(text.contains("limits.heartbeat_interval must be"), "{text}");
    }
}

#[test]
fn a_wrong_type_names_its_key() {
    assert!(problems("[server]\ndrain_window = 8").starts_with("server.drain_window "));
    assert!(problems("[server]\ndrain_window = \"8 weeks\"").contains("like \"250ms\""));
    assert!(problems("[[accounts]]\nname = \"x\"").contains("receiver_id"));
}

#[test]
fn a_wrong_type_hides_no_other_problem_and_is_named_in_plain_words() {
    let text = problems(
        r#"
        limits = 7
        [server]
        listen = 8080
        drain_window = 8
        trusted_proxies = "10.0.0.0/8"
        [[accounts]]
        name = 7
        receiver_id = "990939"
        khipu_api_key = { enf = "KEY" }
        khipu_secrets = ["a", 1.5, "b", { enf = "SECRET" }]
        allowed_origins = [1, "https://shop.example"]
        api_keys = [{ hash = "sha256:12", allow = ["everything"], expires_at = "soon" }]
        return_hop = "yes"
        [[accounts]]
        name = "other"
        "#,
    );
    let lines: BTreeSet<&str> = text.lines().collect();
    let expected = [
        "limits must be a section with keys of its own",
        "server.listen must be a text in quotes",
        "server.drain_window must be a text in quotes",
        "server.trusted_proxies must be a list in brackets",
        "accounts[0].name must be a text in quotes",
        "accounts[0].receiver_id must be a whole number from 0 to 9223372036854775807, without quotes",
        "accounts[0].khipu_api_key must be a text, { env = \"NAME\" } or { file = \"PATH\" }",
        "accounts[0].khipu_secrets[1] must be a text, { env = \"NAME\" } or { file = \"PATH\" }",
        "accounts[0].khipu_secrets[3] must be a text, { env = \"NAME\" } or { file = \"PATH\" }",
        "accounts[0].allowed_origins[0] must be a text in quotes",
        "accounts[0].api_keys[0].hash must be sha256: and 64 hexadecimal digits, as `chasqui keys new` prints it",
        "accounts[0].api_keys[0].allow[0] must be payments, refunds or other",
        "accounts[0].api_keys[0].expires_at must be a time such as 2027-01-31T00:00:00Z",
        "accounts[0].return_hop must be true or false, without quotes",
        "accounts[1].receiver_id is missing; it is the id of the collection account in Khipu's panel",
        "accounts[1].khipu_api_key is missing; it is the collection account's API key in Khipu's panel",
        "accounts[1].khipu_secrets is empty; without the account's secret no notification can be verified",
    ];
    assert_eq!(lines, expected.into_iter().collect());
}

#[test]
fn a_misspelt_key_is_refused_with_the_nearest_known_one() {
    for (misspelt, expected) in [
        (
            "[server]\nlisen = \"x\"",
            "server.lisen is not a known key; did you mean server.listen?",
        ),
        (
            "[limits]\nwatcher_per_payment = 5",
            "limits.watcher_per_payment is not a known key; did you mean limits.watchers_per_payment?",
        ),
        (
            "[sevrer]\nlisten = \"127.0.0.1:1\"",
            "sevrer is not a known section; did you mean server?",
        ),
        (
            "[storage]\nxyzzy = 1",
            "storage.xyzzy is not a known key; check its spelling and its section",
        ),
    ] {
        assert_eq!(problems(&format!("{misspelt}\n{ACCOUNT}")), expected);
    }
    let text = problems(&format!("{ACCOUNT}\nnotify_ulr = \"https://shop.example\""));
    let expected = "accounts.0.notify_ulr is not a known key; did you mean accounts.0.notify_url?";
    assert_eq!(text, expected);
}

#[test]
fn a_number_out_of_range_is_refused_with_its_range() {
    let numbers = [
        (
            "storage",
            "wait_replicas",
            ["-1", "256", "1.5"],
            "from 0 to 255",
        ),
        (
            "limits",
            "polls_per_second",
            ["0", "-1", "4294967296"],
            "from 1 to 4294967295",
        ),
        (
            "limits",
            "watchers",
            ["0", "-1", "true"],
            "from 1 to 9223372036854775807",
        ),
    ];
    for (section, name, values, range) in numbers {
        let variable = format!("CHASQUI_{section}__{name}").to_ascii_uppercase();
        for value in values {
            let expected =
                format!("{section}.{name} must be a whole number {range}, without quotes");
            let text = problems(&format!("[{section}]\n{name} = {value}\n{ACCOUNT}"));
            assert_eq!(text, expected, "{value} in the file");
            let error = with_environment(ACCOUNT, &[(&variable, value)]).expect_err(value);
            assert_eq!(error.to_string(), expected, "{value} in the environment");
        }
    }
    let huge = [("CHASQUI_LIMITS__WATCHERS", "99999999999999999999")];
    let error = with_environment(ACCOUNT, &huge).expect_err("too large");
    let expected = "limits.watchers must be a whole number from 1 to 9223372036854775807";
    assert!(error.to_string().starts_with(expected), "{error}");
    for digits in [20, 60] {
        let number = "9".repeat(digits);
        let text = problems(&format!("[limits]\nwatchers = {number}\n{ACCOUNT}"));
        let expected =
            "line 2 holds a number over 9223372036854775807; put a text of digits in quotes";
        assert_eq!(text, expected);
    }
}

#[test]
fn no_secret_is_printed() {
    let config = Config::from_toml(ACCOUNT).expect("valid");
    let printed = format!("{config:?}");
    assert!(!printed.contains("not-a-real"), "{printed}");
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let text = problems(&format!("{ACCOUNT}\n[limits]\nwatchers = 10\n"));
    assert!(
        text.contains("limits.watchers_per_payment is above limits.watchers"),
        "{text}"
    );
    let text = problems(&format!("{ACCOUNT}\n[limits]\nbody_timeout = \"60s\"\n"));
    assert!(
        text.starts_with("limits.body_timeout must be shorter"),
        "{text}"
    );
}

#[test]
fn a_notification_may_be_larger_than_what_a_merchant_sent() {
    let limits = |text: &str| {
        let text = format!("{ACCOUNT}\n[limits]\n{text}\n");
        Config::from_toml(&text).map(|config| config.limits)
    };
    let default = limits("").expect("valid");
    assert_eq!(default.notification_bytes, default.facade_bytes + 64 * 1024);
    let grown = limits("facade_bytes = 2000000").expect("valid");
    assert_eq!(grown.notification_bytes, 2_000_000 + 64 * 1024);
    let least = "facade_bytes = 1000\nnotification_bytes = 66536";
    assert_eq!(limits(least).expect("valid").notification_bytes, 66_536);
    let refused = limits("facade_bytes = 1000\nnotification_bytes = 66535");
    let text = refused.expect_err("refused").to_string();
    assert!(
        text.starts_with("limits.notification_bytes must be at least 66536"),
        "{text}"
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_not_printed() {
    let misplaced = [
        "khipu_secrets = \"TOPSECRET\"",
        "api_keys = \"chq_TOPSECRET\"",
        "receiver_id = \"TOPSECRET\"",
    ];
    for line in misplaced {
        let text = problems(&format!(
            "[[accounts]]\nname = \"shop\"\nkhipu_api_key = \"x\"\n{line}\n"
        ));
        assert!(
            text.contains("must be") && !text.contains("TOPSECRET"),
            "{text}"
        );
    }
    for broken in [
        "khipu_secrets = [\"TOPSECRET\"",
        "khipu_api_key = TOPSECRET",
        "TOPSECRET",
    ] {
        let text = problems(&format!("[[accounts]]\nname = \"shop\"\n{broken}\n"));
        assert!(
            text.starts_with("line ") && !text.contains("TOPSECRET"),
            "{text}"
        );
    }
    let variable = [("CHASQUI_ACCOUNTS__0__KHIPU_SECRETS", "TOPSECRET")];
    let text = with_environment(ACCOUNT, &variable)
        .expect_err("a text and not a list")
        .to_string();
    assert!(
        text.contains("accounts[0].khipu_secrets must be") && !text.contains("TOPSECRET"),
        "{text}"
    );
}

#[test]
fn a_secret_of_digits_alone_is_a_secret() {
    let config = with_environment(
        ACCOUNT,
        &[
            ("CHASQUI_ACCOUNTS__0__KHIPU_API_KEY", "1234567890"),
            ("CHASQUI_ACCOUNTS__0__KHIPU_SECRETS__0", "0012"),
        ],
    )
    .expect("valid");
    let shop = config.accounts.iter().next().expect("account");
    assert_eq!(
        (shop.khipu_api_key.expose(), shop.khipu_secrets[0].expose()),
        ("1234567890", "0012")
    );
}

#[test]
fn the_configuration_in_the_readme_works() {
    let readme = include_str!("../../../../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("a configuration");
    let (text, _) = rest.split_once("```").expect("its end");
    let hash = format!("sha256:{}", "0".repeat(64));
    let config = Config::from_toml(&text.replace("sha256:…", &hash)).expect("valid");
    assert_eq!(config.accounts.iter().count(), 1);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}
