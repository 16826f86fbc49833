//! Which values of a Compose file use a variable.

use serde_json::Value;

use super::template;

/// Paths of all values that use the variable.
pub(super) fn of(variable: &str, tree: &Value) -> Vec<Vec<String>> {
    let mut users = Vec::new();
    find(tree, variable, &mut Vec::new(), &mut users);
    users
}

fn find(tree: &Value, variable: &str, path: &mut Vec<String>, users: &mut Vec<Vec<String>>) {
    match tree {
        Value::String(text) => {
            // What cannot be taken apart is taken for a use if it looks like one.
            let is_user = match template::parse(text) {
                Ok(_) => template::names(text).iter().any(|name| name == variable),
                Err(_) => {
                    text.contains(&format!("${variable}"))
                        || text.contains(&format!("${{{variable}"))
                }
            };
            if is_user {
                users.push(path.clone());
            }
        }
        Value::Array(list) => {
            for (idx, entry) in list.iter().enumerate() {
                path.push(idx.to_string());
                find(entry, variable, path, users);
                path.pop();
            }
        }
        Value::Object(map) => {
            for (key, entry) in map {
                path.push(key.clone());
                find(entry, variable, path, users);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
