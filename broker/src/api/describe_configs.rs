//! DescribeConfigs (key 32): every configuration of a topic, of this host, or of all hosts
//! together.
use crate::{
    answer::{
        Rows,
        distinct::{Names, Secret, keep_firsts, keep_once},
        shown,
    },
    config::{
        Defaults,
        catalogue::catalogue,
        describe::{self, Described},
    },
    core::request::{Request, Stage},
    metadata::{Configs, resource},
    settings::Settings,
    shard::Shard,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
    rc::Rc,
    sync::Arc,
};
use wire::{
    Decode, ErrorCode, Reader, Str,
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
    let mut body = DescribeConfigsRequest::decode(reader, request.version())?;
    let show = Show {
        synonyms: body.include_synonyms,
        // What older versions do not carry.
        types: request.version() >= 3,
        notes: request.version() >= 3 && body.include_documentation,
    };
    for keys in body.resources.iter_mut().filter_map(|r| r.configuration_keys.as_mut()) {
        keep_known(shard.secret, keys);
    }
    // One answer to the same question. (Kafka answers each, with up to a thousand times its bytes;
    // its clients ask once.)
    keep_firsts(
        shard.secret,
        &mut body.resources,
        |r, hasher| (r.resource_type, &r.resource_name, asked_keys(r)).hash(hasher),
        same,
    );
    let resources = Resources::of(&body.resources, shard, show);
    let results = Rows::new(resources.kinds.len(), move |at, out| {
        let result = resources.result(at);
        out.looked_at(result.configs.len());
        out.put(&result)
    });
    shard.answer_in_portions(request.pending, DescribeConfigsResponse::default, results)
}

/// Keeps each key once, and of those that no configuration has one at most: without any, all would
/// be asked for.
fn keep_known(secret: Secret, keys: &mut Vec<Str<'_>>) {
    let known = |key: &str| catalogue().topic(key).is_some() || catalogue().broker(key).is_some();
    let mut unknown = false;
    keys.retain(|key| known(key) || !std::mem::replace(&mut unknown, true));
    keep_once(secret, keys);
}

/// The keys that are asked for; `None` for all.
fn asked_keys<'r, 'a>(asked: &'r DescribeConfigsResource<'a>) -> Option<&'r [Str<'a>]> {
    let keys = asked.configuration_keys.as_deref();
    keys.filter(|keys| !keys.is_empty())
}

fn same(a: &DescribeConfigsResource<'_>, b: &DescribeConfigsResource<'_>) -> bool {
    a.resource_type == b.resource_type
        && a.resource_name == b.resource_name
        && asked_keys(a) == asked_keys(b)
}

/// Resources, one after the other, as they were when they were asked for.
struct Resources {
    kinds: Vec<i8>,
    names: Names,
    /// Of those that ask for some keys and not for all, by their place.
    keys: BTreeMap<usize, Names>,
    /// A topic's overrides, if there is such a topic.
    overrides: Vec<Option<Arc<Configs>>>,
    settings: Rc<Settings>,
    defaults: Defaults,
    show: Show,
}

impl Resources {
    fn of(asked: &[DescribeConfigsResource<'_>], shard: &Shard, show: Show) -> Self {
        let overrides = |r: &DescribeConfigsResource<'_>| {
            let name = Some(&*r.resource_name).filter(|_| r.resource_type == resource::TOPIC)?;
            shard.image.topic(name)?;
            Some(shard.image.shared_configs(resource::TOPIC, name).clone())
        };
        let keys = asked.iter().enumerate().filter_map(|(at, r)| {
            let keys = asked_keys(r)?;
            Some((at, keys.iter().map(|key| &**key).collect()))
        });
        Self {
            kinds: asked.iter().map(|r| r.resource_type).collect(),
            names: asked.iter().map(|r| &*r.resource_name).collect(),
            keys: keys.collect(),
            overrides: asked.iter().map(overrides).collect(),
            settings: shard.settings.clone(),
            defaults: shard.defaults.with(&shard.image, shard.settings.node_id),
            show,
        }
    }

    fn result(&self, at: usize) -> DescribeConfigsResult<'_> {
        let (kind, name) = (self.kinds[at], self.names.get(at).unwrap_or_default());
        let keys = self.keys.get(&at).map(|keys| keys.iter().collect());
        let overrides = self.overrides.get(at).and_then(Option::as_deref);
        let (described, refusal) =
            match describe(&self.settings, &self.defaults, kind, name, keys, overrides) {
                Ok(described) => (described, (ErrorCode::None, None)),
                Err(refusal) => (Vec::new(), refusal),
            };
        DescribeConfigsResult {
            error_code: refusal.0.code(),
            error_message: refusal.1.map(Into::into),
            resource_type: kind,
            resource_name: name.into(),
            configs: described.into_iter().map(|d| self.show.result(d)).collect(),
        }
    }
}

fn describe(
    settings: &Settings,
    defaults: &Defaults,
    kind: i8,
    name: &str,
    keys: Option<BTreeSet<&str>>,
    overrides: Option<&Configs>,
) -> Result<Vec<Described>, Refusal> {
    let invalid = |why: &str| Err((ErrorCode::InvalidRequest, Some(why.to_owned())));
    let short = shown(name);
    let wanted = |d: &Described| keys.as_ref().is_none_or(|keys| keys.contains(&*d.name));
    match kind {
        resource::TOPIC => {
            crate::controller::topics::check_name(name)
                .map_err(|why| (ErrorCode::InvalidTopicException, Some(why)))?;
            let Some(overrides) = overrides else {
                return Err((ErrorCode::UnknownTopicOrPartition, None));
            };
            Ok(describe::topic(overrides, defaults).filter(wanted).collect())
        }
        resource::BROKER if name.is_empty() => {
            Ok(describe::cluster(defaults).filter(wanted).collect())
        }
        resource::BROKER => {
            let Ok(id) = name.parse::<i32>() else {
                return invalid(&format!("Broker id must be an integer, but it is: {short}"));
            };
            if settings.host_of(id) != Some(settings.node_id) {
                return invalid(&format!(
                    "Unexpected broker id {short}: no core of this host has it"
                ));
            }
            Ok(describe::broker(defaults).filter(wanted).collect())
        }
        resource::BROKER_LOGGER => {
            invalid("Log levels are set at start, by the environment variable RUST_LOG.")
        }
        // Nothing can be set for them, so that there is nothing to describe.
        resource::CLIENT_METRICS | resource::GROUP if !name.is_empty() => Ok(Vec::new()),
        other => invalid(&format!("Unexpected resource type {other} for resource {short}")),
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
        let image = controller.image();
        let overrides = image
            .topic(name)
            .map(|_| image.topic_configs(name))
            .filter(|_| kind == resource::TOPIC);
        let keys = keys.filter(|keys| !keys.is_empty());
        let keys = keys.map(|keys| keys.iter().copied().collect());
        describe(&settings(), &Defaults::default(), kind, name, keys, overrides)
    }

    #[test]
    fn all_keys_or_those_that_are_asked_for() {
        let all = ask(resource::TOPIC, "t", None).unwrap();
        assert_eq!(ask(resource::TOPIC, "t", Some(&[])).unwrap(), all);
        let names =
            |described: Vec<Described>| described.into_iter().map(|d| d.name).collect::<Vec<_>>();
        let some =
            ask(resource::TOPIC, "t", Some(&["segment.ms", "no.such", "retention.ms"])).unwrap();
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
