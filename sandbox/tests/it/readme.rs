//! README.md documents every control.

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
