//! Actions: those that no service has.
//!
//! Of services that are not known here nothing is said. An unknown name that resembles a known one is an error; one
//! that resembles none may be newer than the lists, and is a warning.

use super::known::{self, Service};
use super::{Lint, Scope, matches_action, variable};
use crate::document::Text;
use crate::nearest::nearest;

const CONNECT: &str = "rds-db:connect";

impl Lint<'_> {
    pub(super) fn action(&mut self, action: &Text, scope: Scope<'_>) {
        let value = action.value.as_ref();
        self.variables(action, variable::Place::Action, scope);
        if value == "*" || value.contains("${") {
            return;
        }
        let Some((prefix, name)) = value.split_once(':') else {
            self.error(
                "unknown-action",
                action.span,
                format!("`{value}` names no service"),
                Some(format!("an action is written `service:Name`, such as `{CONNECT}`")),
            );
            return;
        };
        if means_connect(value) {
            self.error(
                "unknown-action",
                action.span,
                format!("`{value}` is not an action: logging in to a database is of the service `rds-db`"),
                Some(did_you_mean(CONNECT)),
            );
            return;
        }
        if let Some(service) = known::service(prefix) {
            self.action_of(action, service, name);
        }
    }

    fn action_of(&mut self, action: &Text, service: Service, name: &str) {
        if service.actions().any(|known| matches_action(name, known)) {
            return;
        }
        let value = &action.value;
        if name.contains(['*', '?']) {
            let help = (service.name == "rds-db").then(|| did_you_mean(CONNECT));
            let message = format!("`{value}` matches no action of `{}`", service.name);
            self.warn("unknown-action", action.span, message, help);
            return;
        }
        let message = format!("`{value}` is not an action of `{}`", service.name);
        if service.name == "rds-db" {
            self.error("unknown-action", action.span, message, Some(did_you_mean(CONNECT)));
            return;
        }
        match nearest(name, service.actions()) {
            Some(meant) => {
                let help = did_you_mean(&format!("{}:{meant}", service.name));
                self.error("unknown-action", action.span, message, Some(help));
            }
            None => self.warn("unknown-action", action.span, format!("{message} that is known here"), None),
        }
    }
}

/// `rds:connect`, `rds-iam:connect`, `rdsdb:Connect*`: the action is right, the service is not.
pub(super) fn means_connect(action: &str) -> bool {
    let Some((prefix, name)) = action.split_once(':') else { return false };
    matches_action(name, "connect")
        && name.trim_matches('*').len() > 2
        && !prefix.eq_ignore_ascii_case("rds-db")
        && prefix.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("rds"))
}

fn did_you_mean(what: &str) -> String {
    format!("did you mean `{what}`?")
}
