//! Conditions: keys that do not exist or have no value at a login, operators that do not fit their key, and values
//! that cannot be read.

use super::key;
use super::known::{ALWAYS_GIVEN, AtConnect, Key, Type};
use super::value::Family;
use super::variable::Place;
use super::{Lint, Scope};
use crate::condition::{Operator, Quantifier, Test};
use crate::document::{Condition, ConditionBlock, Effect, Text, Version};

impl Lint<'_> {
    pub(super) fn condition(&mut self, condition: &Condition, scope: Scope<'_>) {
        for block in &condition.blocks {
            let Some(operator) = block.operator else { continue };
            self.repeated_keys(block);
            for (name, values) in &block.keys {
                self.test(condition, block, operator, (name, values), scope);
            }
        }
    }

    fn test(
        &mut self,
        condition: &Condition,
        block: &ConditionBlock,
        operator: Operator,
        (name, values): (&Text, &[Text]),
        scope: Scope<'_>,
    ) {
        let family = Family::of(operator.test);
        let mut has_value = true;
        match key::find(&name.value) {
            Ok(key) => {
                let at_connect = key.map_or(AtConnect::NotHere, |key| key.at_connect);
                if at_connect != AtConnect::Given && scope.is_connect_only() {
                    self.no_value(at_connect, name, values, operator, scope);
                    has_value = false;
                }
                if let Some(key) = key.filter(|_| has_value || at_connect == AtConnect::Optional) {
                    self.fits(key, name, block, operator, scope);
                }
            }
            Err(problem) => self.error(problem.code, name.span, problem.message, problem.help),
        }
        if has_value && operator.quantifier == Some(Quantifier::ForAllValues) && scope.effect == Effect::Allow
        {
            self.for_all_values(condition, name, operator);
        }
        if values.is_empty() {
            let always = operator.test.is_negated();
            let what = if always { "holds for every value" } else { "never holds for a value" };
            let message = format!("no values are given, so `{}` {what}", block.name.value);
            self.warn("no-values", name.span, message, None);
        }
        for value in values {
            self.variables(value, Place::Value(operator), scope);
            self.readable(value, name, family, scope);
        }
    }

    /// A key that is written twice is two tests, which must both hold: not one with the values of both.
    fn repeated_keys(&mut self, block: &ConditionBlock) {
        for (index, (name, _)) in block.keys.iter().enumerate() {
            let earlier = block
                .keys
                .iter()
                .take(index)
                .find(|(other, _)| other.value.eq_ignore_ascii_case(&name.value));
            if let Some((earlier, _)) = earlier {
                self.warn(
                    "repeated-key",
                    name.span,
                    format!("`{}` is the same key as `{}`, and both must hold", name.value, earlier.value),
                    Some("write the key once, with all values in a list".to_owned()),
                );
            }
        }
    }

    /// What follows where the key has no value.
    fn no_value(
        &mut self,
        at_connect: AtConnect,
        name: &Text,
        values: &[Text],
        operator: Operator,
        scope: Scope<'_>,
    ) {
        let holds = if operator.test == Test::Null {
            values.iter().any(|value| value.value.eq_ignore_ascii_case("true"))
        } else {
            match operator.quantifier {
                Some(Quantifier::ForAllValues) => true,
                Some(Quantifier::ForAnyValue) => operator.if_exists,
                None => operator.if_exists || operator.test.is_negated(),
            }
        };
        let follows = match (holds, scope.effect) {
            (true, Effect::Allow) => "this is always true and restricts nothing".to_owned(),
            (true, Effect::Deny) => {
                "this is always true and the Deny applies to every login it names".to_owned()
            }
            (false, _) => format!("this is never true and {} never applies", scope.name()),
        };
        let message = at_connect.sentence(&name.value, &follows);
        self.warn("no-value-at-connect", name.span, message, None);
    }

    fn fits(&mut self, key: &Key, name: &Text, block: &ConditionBlock, operator: Operator, scope: Scope<'_>) {
        let family = Family::of(operator.test);
        let (operator_name, shown) = (&block.name.value, &name.value);
        if !fits(key.values, family) {
            let message = match family {
                Family::Text if key.values == Type::Address => {
                    format!(
                        "`{operator_name}` compares `{shown}` as text: a network such as `10.0.0.0/8` matches no address"
                    )
                }
                Family::Text => {
                    format!("`{operator_name}` compares `{shown}` as text, not as {}", key.values.phrase())
                }
                _ => format!(
                    "`{operator_name}` cannot read `{shown}`, which is {}: where it has a value, {}",
                    key.values.phrase(),
                    scope.on_error()
                ),
            };
            let help = format!("use {}", key.values.operators());
            self.warn("operator-type", name.span, message, Some(help));
        }
        if key.many && operator.quantifier.is_none() && operator.test != Test::Null {
            self.warn(
                "many-values",
                name.span,
                format!("`{shown}` can have many values, which `{operator_name}` alone cannot compare: with more than one, {}", scope.on_error()),
                Some(format!("use `ForAnyValue:{operator_name}` or `ForAllValues:{operator_name}`")),
            );
        }
    }

    fn for_all_values(&mut self, condition: &Condition, name: &Text, operator: Operator) {
        let guarded = condition
            .blocks
            .iter()
            .filter(|block| block.operator.is_some_and(|operator| operator.test == Test::Null))
            .flat_map(|block| &block.keys)
            .any(|(key, values)| {
                key.value.eq_ignore_ascii_case(&name.value)
                    && values.iter().all(|value| value.value.eq_ignore_ascii_case("false"))
            });
        let given = ALWAYS_GIVEN.iter().any(|key| key.eq_ignore_ascii_case(&name.value));
        if !guarded && !given && !operator.if_exists {
            self.warn(
                "for-all-values",
                name.span,
                format!(
                    "`ForAllValues:` is true where `{}` is missing, so the Allow applies then",
                    name.value
                ),
                Some(format!("add `\"Null\": {{\"{}\": \"false\"}}` to the condition", name.value)),
            );
        }
    }

    fn readable(&mut self, value: &Text, name: &Text, family: Family, scope: Scope<'_>) {
        let text = value.value.as_ref();
        // What stands for a variable is not known; an ARN still has its parts.
        let open = text.contains("${") && (family != Family::Arn || self.version < Version::V2012);
        if open || family.reads(text) {
            return;
        }
        let follows = match family {
            Family::Presence => scope.on_error().to_owned(),
            _ => format!("where `{}` has a value, {}", name.value, scope.on_error()),
        };
        let message = format!("`{text}` is not {}: {follows}", family.phrase());
        let help = family.example().map(|example| format!("expected {example}"));
        self.error("unreadable-value", value.span, message, help);
    }
}

fn fits(values: Type, family: Family) -> bool {
    match family {
        Family::Presence => true,
        Family::Text => !matches!(values, Type::Address | Type::Date | Type::Epoch),
        _ if values == Type::Free => true,
        Family::Number => matches!(values, Type::Number | Type::Epoch),
        Family::Date => matches!(values, Type::Date | Type::Epoch),
        Family::Bool => values == Type::Bool,
        Family::Address => values == Type::Address,
        Family::Arn => values == Type::Arn,
        Family::Binary => false,
    }
}
