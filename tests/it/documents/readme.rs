//! README's steps, from the build to the delivery, as a reader follows them.

use super::blocks::{blocks, document};
use super::shell::Shell;

#[tokio::test]
async fn a_reader_of_the_readme_pays_with_curl_and_sees_the_delivery() {
    let text = document("README.md");
    let commands = blocks(&text, "sh");
    let [
        _demo,
        build,
        run,
        receiver,
        create,
        authorize,
        verifying,
        conciliate,
        confirmed,
    ] = &commands[..]
    else {
        panic!("{commands:#?}");
    };
    let mut shell = Shell::start();

    let printed = shell.run(build).await;
    let key = word_after(&printed, "key ");
    let hash = word_after(&printed, "hash ");
    let toml = &blocks(&text, "toml")[0];
    assert!(toml.contains("\"sha256:…\""), "{toml}");
    shell.write_file("chasqui.toml", &toml.replace("sha256:…", &hash));
    // The check needs the sandbox to answer, which the line before it has only just started: a reader would run it again.
    let started = "until curl -s -o /dev/null http://127.0.0.1:9090/; do sleep 0.1; done";
    let mut lines = run.lines();
    shell
        .run(&format!(
            "{}\n{started}",
            lines.next().expect("the sandbox")
        ))
        .await;
    let printed = shell.run(lines.next().expect("the check")).await;
    assert!(
        printed.contains("ok: khipu answers account shop"),
        "{printed}"
    );
    let serve = lines.next().expect("the gateway");
    let started = "until curl -s -f http://127.0.0.1:8080/readyz; do sleep 0.1; done";
    shell.run(&format!("{serve}\n{started}")).await;
    assert_eq!(lines.next(), None);
    let started = "until curl -s -o /dev/null http://127.0.0.1:8000/; do sleep 0.1; done";
    shell.run(&format!("{receiver}\n{started}")).await;

    let created = shell.run(&create.replace("chq_…", &key)).await;
    assert!(created.contains("chasqui-status-token: "), "{created}");
    let (_, id) = created.split_once(r#""payment_id":""#).expect("an id");
    let (id, _) = id.split_once('"').expect("its end");
    let filled = |text: &str| text.replace("chq_…", &key).replace("PAYMENT_ID", id);
    shell.run(&filled(authorize)).await;
    let printed = shell.run(&filled(verifying)).await;
    assert!(
        printed.contains(r#""status":"verifying","version":14"#),
        "{printed}"
    );
    shell.run(&filled(conciliate)).await;
    let printed = shell.run(&filled(confirmed)).await;
    assert!(printed.contains(r#""status":"confirmed""#), "{printed}");
    // As only the notification has it: its slashes are escaped.
    let receipt = format!(r"http:\/\/127.0.0.1:9090\/payment\/receipt\/{id}");
    shell.printed(&receipt).await;
}

fn word_after(text: &str, label: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label:?} in {text}"))
        .trim()
        .to_owned()
}

/// The first command of a document, which a reader ends with Ctrl-C, prints where it listens.
async fn prints_its_address(path: &str) {
    let command = blocks(&document(path), "sh")[0].trim().to_owned();
    let mut shell = Shell::start();
    shell.run(&format!("{command} &")).await;
    shell.printed("http://127.0.0.1:9090").await;
}

#[tokio::test]
async fn the_demo_of_the_readme_prints_its_addresses() {
    prints_its_address("README.md").await;
}

#[tokio::test]
async fn the_demo_of_its_own_readme_prints_its_addresses() {
    prints_its_address("examples/demo/README.md").await;
}

#[tokio::test]
async fn the_sandbox_of_its_readme_prints_its_address() {
    prints_its_address("sandbox/README.md").await;
}
