//! README.md documents every control.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::Sandbox;

const README: &str = include_str!("../../README.md");

#[tokio::test]
async fn every_field_of_the_behaviour_is_in_the_readme_with_its_default() {
    let sandbox = Sandbox::start().await;
    let behaviour = sandbox.get("/sandbox/behaviour").await.json();
    let mut fields = Vec::new();
    for (name, value) in behaviour.as_object().unwrap() {
        match value.as_object() {
            Some(group) => {
                let of_group = |(field, value): (&String, &Value)| {
                    (format!("{name}.{field}"), value.as_f64().unwrap())
                };
                fields.extend(group.iter().map(of_group));
            }
            None => fields.push((name.clone(), value.as_f64().unwrap())),
        }
    }
    for (field, default) in fields {
        let row = format!("| `{field}` | {default} |");
        assert!(README.contains(&row), "{row}");
    }
}

#[tokio::test]
async fn every_action_is_in_the_readme() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let refused = sandbox.act(&id, "explode").await.text;
    let (_, known) = refused.split_once("expected one of ").unwrap();
    let actions: Vec<_> = known.split('`').skip(1).step_by(2).collect();
    assert_eq!(actions.len(), 8, "{known}");
    for action in actions {
        assert!(README.contains(&format!("| `{action}` |")), "{action}");
    }
}

#[test]
fn every_flag_is_in_the_readme() {
    let help = Command::new(env!("CARGO_BIN_EXE_khipu-sandbox"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let flags: Vec<_> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && *word != "--help")
        .collect();
    assert!(flags.len() >= 8, "{flags:?}");
    for flag in flags {
        assert!(README.contains(flag), "{flag}");
    }
}

#[tokio::test]
async fn every_choice_in_the_frame_is_in_the_readme_with_its_result() {
    let sandbox = Sandbox::start().await;
    for choice in [
        "authorize",
        "second-signature",
        "continue",
        "bank-failure",
        "authorize-as-another",
        "cancel",
    ] {
        let id = sandbox
            .create(json!({ "fixed_payer_personal_identifier": "11.000.111-9" }))
            .await;
        let page = sandbox.get(&format!("/embedded/{id}")).await.text;
        let (_, form) = page.split_once(&format!("/{choice}\">")).unwrap();
        let (_, button) = form.split_once('>').unwrap();
        let (button, _) = button.split_once('<').unwrap();
        let pressed = sandbox.press(&format!("/embedded/{id}/{choice}")).await;
        let exit = sandbox.get(pressed.header("location")).await.text;
        let result = ["OK", "WARNING", "CONTINUE", "ERROR"]
            .into_iter()
            .find(|result| exit.contains(&format!("&quot;result&quot;:&quot;{result}&quot;")))
            .unwrap();
        let is_row = |row: &&str| row.contains(button) && row.contains(&format!("`{result}`"));
        assert!(README.lines().any(|row| is_row(&row)), "{button}: {result}");
    }
}
