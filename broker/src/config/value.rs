//! Values of configurations: their types, what is allowed, and the text that describes them.
//!
//! As Kafka's `ConfigDef.parseType` and `convertToString`: a client writes text, the server reads
//! it by the key's type, and shows what it read.
use std::{collections::BTreeSet, fmt};

/// Type of a key (`ConfigDef.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    Password,
}

/// A value, read by its key's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Boolean(bool),
    /// Of int, short and long.
    Integer(i64),
    Double(f64),
    /// Of string, class and password.
    Text(String),
    List(Vec<String>),
}

/// What a key allows.
#[derive(Clone, Debug, PartialEq)]
pub enum Allowed {
    Any,
    /// Both ends included; `or` is allowed besides.
    Range {
        min: f64,
        max: f64,
        or: Option<i64>,
    },
    /// A list may hold any of them.
    OneOf {
        values: Vec<&'static str>,
        ignore_case: bool,
    },
    NonEmpty,
    /// Replicas that are throttled: `*`, or partition:broker pairs.
    Throttled,
}

impl Type {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "string" => Self::String,
            "int" => Self::Int,
            "short" => Self::Short,
            "long" => Self::Long,
            "double" => Self::Double,
            "list" => Self::List,
            "class" => Self::Class,
            "password" => Self::Password,
            _ => return None,
        })
    }

    /// `DescribeConfigsResponse.ConfigType`.
    pub fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// Reads text; the error says what is wanted instead.
    pub fn parse(self, text: &str) -> Result<Value, &'static str> {
        let text = text.trim();
        let within = |min: i64, max: i64| {
            text.parse::<i64>().ok().filter(|v| (min..=max).contains(v)).map(Value::Integer)
        };
        match self {
            Self::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Self::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Self::Boolean => Err("Expected value to be either true or false"),
            Self::Int => within(i32::MIN.into(), i32::MAX.into()).ok_or("Not a number of type INT"),
            Self::Short => {
                within(i16::MIN.into(), i16::MAX.into()).ok_or("Not a number of type SHORT")
            }
            Self::Long => within(i64::MIN, i64::MAX).ok_or("Not a number of type LONG"),
            Self::Double => {
                text.parse().map(Value::Double).map_err(|_| "Not a number of type DOUBLE")
            }
            Self::List if text.is_empty() => Ok(Value::List(Vec::new())),
            Self::List => {
                Ok(Value::List(text.split(',').map(|item| item.trim().to_owned()).collect()))
            }
            Self::String | Self::Class | Self::Password => Ok(Value::Text(text.to_owned())),
        }
    }
}

/// Each item once, where it is first.
pub fn without_repeats<T: Ord + Clone>(mut items: Vec<T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    items.retain(|item| seen.insert(item.clone()));
    items
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            // With the fraction that Java writes: 1.0.
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(value),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

impl Allowed {
    /// Reads the table's notation: `any`, `1..`, `1..9|-1`, `a|b`, `~a|b` (any case), `nonempty`,
    /// `throttled`.
    pub(super) fn of(text: &'static str) -> Option<Self> {
        match text {
            "any" => return Some(Self::Any),
            "nonempty" => return Some(Self::NonEmpty),
            "throttled" => return Some(Self::Throttled),
            _ => {}
        }
        if let Some((min, rest)) = text.split_once("..") {
            let (max, or) = rest.split_once('|').map_or((rest, None), |(max, or)| (max, Some(or)));
            return Some(Self::Range {
                min: if min.is_empty() { f64::NEG_INFINITY } else { min.parse().ok()? },
                max: if max.is_empty() { f64::INFINITY } else { max.parse().ok()? },
                or: or.map(str::parse).transpose().ok()?,
            });
        }
        let (values, ignore_case) =
            text.strip_prefix('~').map_or((text, false), |values| (values, true));
        Some(Self::OneOf { values: values.split('|').collect(), ignore_case })
    }

    /// A value as Kafka takes it: of an item that a list has several times, the first counts
    /// (KAFKA-19875). Lists that have a notation of their own keep all of theirs (their validator
    /// is not `ConfigDef.ValidList`).
    pub(super) fn without_repeats(&self, value: Value) -> Value {
        match (self, value) {
            (Self::Any | Self::OneOf { .. }, Value::List(items)) => {
                Value::List(without_repeats(items))
            }
            (_, value) => value,
        }
    }

    /// Whether a value is allowed; the error says what is.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Any, Value::List(items)) if items.iter().any(String::is_empty) => {
                Err("An item of the list is empty: remove the comma".into())
            }
            (Self::Any, _) => Ok(()),
            (Self::Range { min, max, or }, value) => {
                let number = match value {
                    Value::Integer(v) if Some(*v) == *or => return Ok(()),
                    Value::Integer(v) => *v as f64,
                    Value::Double(v) => *v,
                    _ => return Err("a number is wanted".into()),
                };
                if number < *min || number.is_nan() {
                    return Err(format!("Value must be at least {min}"));
                }
                if number > *max {
                    return Err(format!("Value must be no more than {max}"));
                }
                Ok(())
            }
            (Self::OneOf { values, ignore_case }, value) => {
                let known = |text: &str| {
                    values
                        .iter()
                        .any(|v| *v == text || *ignore_case && v.eq_ignore_ascii_case(text))
                };
                let wanted = || format!("Value must be one of: {}", values.join(", "));
                match value {
                    Value::Text(text) if known(text) => Ok(()),
                    Value::List(items) => {
                        if items.iter().all(|item| known(item)) {
                            Ok(())
                        } else {
                            Err(wanted())
                        }
                    }
                    _ => Err(wanted()),
                }
            }
            (Self::NonEmpty, Value::Text(text)) if text.is_empty() => {
                Err("Value must not be empty".into())
            }
            (Self::NonEmpty, Value::List(items)) if items.is_empty() => {
                Err("Value must not be empty".into())
            }
            (Self::NonEmpty, _) => Ok(()),
            (Self::Throttled, Value::List(items)) => {
                let pair = |item: &String| {
                    item.split_once(':')
                        .is_some_and(|(p, b)| p.parse::<u32>().is_ok() && b.parse::<u32>().is_ok())
                };
                let all = items.len() == 1 && items[0] == "*";
                if all || items.iter().all(pair) {
                    return Ok(());
                }
                Err("Value must be the literal '*' or a list of partition:broker pairs".into())
            }
            (Self::Throttled, _) => Err("a list is wanted".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_by_type_and_shown_as_it_was_read() {
        for (kind, text, shown) in [
            (Type::Boolean, " TRUE ", "true"),
            (Type::Int, "+5", "5"),
            (Type::Long, "9223372036854775807", "9223372036854775807"),
            (Type::Short, "-1", "-1"),
            (Type::Double, "1", "1.0"),
            (Type::List, "a , b,c", "a,b,c"),
            (Type::List, "", ""),
            (Type::String, " x ", "x"),
        ] {
            assert_eq!(kind.parse(text).unwrap().to_string(), shown);
        }
        for (kind, text) in [
            (Type::Boolean, "yes"),
            (Type::Int, "2147483648"),
            (Type::Int, ""),
            (Type::Short, "40000"),
            (Type::Long, "1e3"),
            (Type::Double, "one"),
        ] {
            assert!(kind.parse(text).is_err(), "{kind:?} {text}");
        }
    }

    #[test]
    fn what_a_list_repeats_counts_once() {
        for (allowed, text, kept) in [
            ("a|b", "b,a,b,b", "b,a"),
            ("any", "x, y,x", "x,y"),
            ("throttled", "0:1,0:1", "0:1,0:1"),
        ] {
            let value = Type::List.parse(text).unwrap();
            let value = Allowed::of(allowed).unwrap().without_repeats(value);
            assert_eq!(value.to_string(), kept);
        }
    }

    #[test]
    fn what_is_allowed() {
        let check = |allowed: &'static str, kind: Type, text: &str| {
            let allowed = Allowed::of(allowed).unwrap();
            let value = allowed.without_repeats(kind.parse(text).unwrap());
            allowed.check(&value).is_ok()
        };
        assert!(check("1..9|-1", Type::Int, "-1") && check("1..9|-1", Type::Int, "9"));
        assert!(!check("1..9|-1", Type::Int, "0") && !check("1..9|-1", Type::Int, "10"));
        assert!(check("-2..", Type::Long, "-2") && !check("-2..", Type::Long, "-3"));
        assert!(check("0..0.5", Type::Double, "0.5") && !check("0..0.5", Type::Double, "0.6"));
        assert!(check("a|b", Type::String, "a") && !check("a|b", Type::String, "A"));
        assert!(check("~a|b", Type::String, "A") && !check("~a|b", Type::String, "c"));
        assert!(check("a|b", Type::List, "b,a") && check("a|b", Type::List, ""));
        assert!(check("a|b", Type::List, "a,a") && !check("a|b", Type::List, "a,c"));
        assert!(!check("a|b", Type::List, "a,") && !check("any", Type::List, "a,,b"));
        assert!(check("any", Type::List, "x,x") && check("any", Type::List, ""));
        assert!(check("throttled", Type::List, "*") && check("throttled", Type::List, "0:1,1:2"));
        assert!(!check("throttled", Type::List, "*,0:1") && !check("throttled", Type::List, "0"));
        assert!(!check("nonempty", Type::String, "") && check("nonempty", Type::List, "x"));
    }
}
