//! DescribeConfigs (key 32): every configuration of a topic, of this host, or of all hosts together.
use crate::{
    config::{
        Defaults,
        describe::{self, Described},
    },
    metadata::{Image, resource},
    settings::Settings,
    shard::{
        Shard,
        reply::{Request, Stage},
    },
};
use wire::{
    Decode, ErrorCode, Reader,
    describe_configs::{
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
        DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
    },
};

type Refusal = (ErrorCode, Option<String>);

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeConfigsRequest::decode(reader, request.version())?;
    let show = Show {
        synonyms: body.include_synonyms,
        // What older versions do not carry.
        types: request.version() >= 3,
        notes: request.version() >= 3 && body.include_documentation,
    };
    let defaults = shard.defaults.with(&shard.image, shard.settings.node_id);
    let results = body
        .resources
        .iter()
        .map(|resource| {
            let (described, refusal) =
                match describe(&shard.image, &shard.settings, &defaults, resource) {
                    Ok(described) => (described, (ErrorCode::None, None)),
                    Err(refusal) => (Vec::new(), refusal),
                };
            DescribeConfigsResult {
                error_code: refusal.0.code(),
                error_message: refusal.1.map(Into::into),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.to_string().into(),
                configs: described.into_iter().map(|d| show.result(d)).collect(),
            }
        })
        .collect();
    request.answer(&DescribeConfigsResponse {
        results,
        ..Default::default()
    })
}

fn describe(
    image: &Image,
    settings: &Settings,
    defaults: &Defaults,
    asked: &DescribeConfigsResource<'_>,
) -> Result<Vec<Described>, Refusal> {
    let name = &*asked.resource_name;
    let invalid = |why: &str| Err((ErrorCode::InvalidRequest, Some(why.to_owned())));
    let keys = asked
        .configuration_keys
        .as_deref()
        .filter(|keys| !keys.is_empty());
    let wanted = |d: &Described| keys.is_none_or(|keys| keys.iter().any(|key| **key == d.name));
    match asked.resource_type {
        resource::TOPIC => {
            crate::controller::topics::check_name(name)
                .map_err(|why| (ErrorCode::InvalidTopicException, Some(why)))?;
            if image.topic(name).is_none() {
                return Err((ErrorCode::UnknownTopicOrPartition, None));
            }
            Ok(describe::topic(image.topic_configs(name), defaults)
                .filter(wanted)
                .collect())
        }
        resource::BROKER if name.is_empty() => {
            Ok(describe::cluster(defaults).filter(wanted).collect())
        }
        resource::BROKER => {
            let Ok(id) = name.parse::<i32>() else {
                return invalid(&format!("Broker id must be an integer, but it is: {name}"));
            };
            if settings.host_of(id) != Some(settings.node_id) {
                return invalid(&format!(
                    "Unexpected broker id {name}: no core of this host has it"
                ));
            }
            Ok(describe::broker(defaults).filter(wanted).collect())
        }
        resource::BROKER_LOGGER => {
            invalid("Log levels are set at start, by the environment variable RUST_LOG.")
        }
        // Nothing can be set for them, so that there is nothing to describe.
        resource::CLIENT_METRICS | resource::GROUP if !name.is_empty() => Ok(Vec::new()),
        other => invalid(&format!(
            "Unexpected resource type {other} for resource {name}"
        )),
    }
}

/// What of a description is wanted.
struct Show {
    synonyms: bool,
    types: bool,
    notes: bool,
}

impl Show {
    fn result(&self, config: Described) -> DescribeConfigsResourceResult<'static> {
        let sensitive = config.sensitive;
        let synonym = |s: crate::config::Layered| DescribeConfigsSynonym {
            name: s.name.into(),
            value: (!sensitive).then(|| s.value.into()),
            source: s.source.code(),
        };
        DescribeConfigsResourceResult {
            name: config.name.into(),
            value: config.value.map(Into::into),
            read_only: config.read_only,
            config_source: config.source.code(),
            is_sensitive: sensitive,
            synonyms: if self.synonyms {
                config.synonyms.into_iter().map(synonym).collect()
            } else {
                Vec::new()
            },
            config_type: if self.types { config.type_code } else { 0 },
            documentation: self.notes.then(|| config.note.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::tests::{controller, numbers, settings};

    fn ask(kind: i8, name: &str, keys: Option<&[&str]>) -> Result<Vec<Described>, Refusal> {
        let mut controller = controller();
        for record in controller.auto_create(&["t".to_owned()], numbers()).records {
            controller.apply(&record);
        }
        let asked = DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned().into(),
            configuration_keys: keys
                .map(|keys| keys.iter().map(|k| (*k).to_owned().into()).collect()),
        };
        describe(
            controller.image(),
            &settings(),
            &Defaults::default(),
            &asked,
        )
    }

    #[test]
    fn all_keys_or_those_that_are_asked_for() {
        let all = ask(resource::TOPIC, "t", None).unwrap();
        assert_eq!(ask(resource::TOPIC, "t", Some(&[])).unwrap(), all);
        let names =
            |described: Vec<Described>| described.into_iter().map(|d| d.name).collect::<Vec<_>>();
        let some = ask(
            resource::TOPIC,
            "t",
            Some(&["segment.ms", "no.such", "retention.ms"]),
        )
        .unwrap();
        assert_eq!(names(some), ["retention.ms", "segment.ms"]);
        assert!(ask(resource::BROKER, "1001", None).unwrap().len() > 250);
        assert!(ask(resource::BROKER, "", None).unwrap().is_empty());
    }

    #[test]
    fn what_has_no_configuration() {
        for (kind, name, error) in [
            (resource::TOPIC, "u", ErrorCode::UnknownTopicOrPartition),
            (resource::TOPIC, "a b", ErrorCode::InvalidTopicException),
            (resource::BROKER, "1", ErrorCode::InvalidRequest),
            (resource::BROKER, "1002", ErrorCode::InvalidRequest),
            (resource::BROKER, "x", ErrorCode::InvalidRequest),
            (resource::BROKER_LOGGER, "1000", ErrorCode::InvalidRequest),
            (resource::GROUP, "", ErrorCode::InvalidRequest),
            (99, "x", ErrorCode::InvalidRequest),
        ] {
            assert_eq!(ask(kind, name, None).unwrap_err().0, error, "{kind} {name}");
        }
        assert!(ask(resource::GROUP, "g", None).unwrap().is_empty());
    }
}
