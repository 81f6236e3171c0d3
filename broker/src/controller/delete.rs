//! DeleteTopics: by name, and since version 6 by id (`ControllerApis.deleteTopics`).
use super::{Batch, Controller, Outcome, Refusal, code_and_message};
use crate::{
    answer::distinct::{firsts, repeated},
    metadata::records::RemoveTopicRecord,
};
use record::TopicId;
use std::collections::BTreeSet;
use wire::{
    ErrorCode,
    delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse},
};

/// A topic as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named<'a> {
    Name(&'a str),
    Id(TopicId),
    Both(&'a str, TopicId),
    Neither,
}

impl<'a> Named<'a> {
    fn name(&self) -> Option<&'a str> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }

    fn id(&self) -> Option<TopicId> {
        match self {
            Self::Id(id) => Some(*id),
            _ => None,
        }
    }
}

impl Controller {
    /// Versions 1 to 6; `version` says which error a switched-off deletion has.
    pub fn delete_topics(
        &self,
        request: &DeleteTopicsRequest<'_>,
        version: i16,
    ) -> Outcome<DeleteTopicsResponse<'static>> {
        let by_state = request.topics.iter().map(|t| match (&t.name, t.topic_id.is_zero()) {
            (Some(name), true) => Named::Name(name),
            (Some(name), false) => Named::Both(name, t.topic_id),
            (None, false) => Named::Id(t.topic_id),
            (None, true) => Named::Neither,
        });
        let mut asked = Vec::with_capacity(request.topic_names.len() + request.topics.len());
        asked.extend(request.topic_names.iter().map(|n| Named::Name(n)));
        asked.extend(by_state);
        let again = repeated(&asked, Ord::cmp);
        // One topic by its name and by its id: which of the two was meant is not known, so neither
        // counts.
        let mut ids: Vec<TopicId> = asked.iter().filter_map(Named::id).collect();
        ids.sort_unstable();
        let twice: BTreeSet<TopicId> = asked
            .iter()
            .zip(&again)
            .filter(|(_, again)| !**again)
            .filter_map(|(named, _)| Some(self.image.topic(named.name()?)?.id))
            .filter(|id| ids.binary_search(id).is_ok())
            .collect();
        drop(ids);
        let mut batch = Batch::default();
        let firsts = firsts(&asked, Ord::cmp);
        let mut responses = Vec::with_capacity(firsts.len());
        for at in firsts {
            let (named, again) = (asked[at as usize], again[at as usize]);
            // Such a topic is answered once, with the name.
            if !again && named.id().is_some_and(|id| twice.contains(&id)) {
                continue;
            }
            let found = self.find(named, again, version).and_then(|(name, id)| {
                if !twice.contains(&id) {
                    batch.add(vec![RemoveTopicRecord { topic_id: id }.into()])?;
                }
                Ok((name, id))
            });
            let (name, topic_id) = match (&found, named) {
                (Ok((name, id)), _) => (Some(*name), *id),
                (Err(_), Named::Name(name)) => (Some(name), TopicId::ZERO),
                (Err(_), Named::Id(id)) => (None, id),
                (Err(_), Named::Both(name, id)) => (Some(name), id),
                (Err(_), Named::Neither) => (None, TopicId::ZERO),
            };
            let name = name.map(|name| name.to_owned().into());
            let found = found.and_then(|(_, id)| match twice.contains(&id) {
                false => Ok(()),
                true => {
                    let why = "The provided topic name maps to an ID that was already supplied.";
                    Err(Refusal::new(ErrorCode::InvalidRequest, why))
                }
            });
            let (error_code, error_message) = code_and_message(&found);
            responses.push(DeletableTopicResult { name, topic_id, error_code, error_message });
        }
        Outcome::new(batch.records, DeleteTopicsResponse { responses, ..Default::default() })
    }

    fn find<'a>(
        &'a self,
        named: Named<'a>,
        again: bool,
        version: i16,
    ) -> Result<(&'a str, TopicId), Refusal> {
        if !self.settings.delete_topic_enable {
            // Older clients do not know the code for it.
            let error = if version < 3 {
                ErrorCode::InvalidRequest
            } else {
                ErrorCode::TopicDeletionDisabled
            };
            return Err(Refusal::new(error, "Topic deletion is disabled (delete.topic.enable)."));
        }
        let invalid = |why: &'static str| Err(Refusal::new(ErrorCode::InvalidRequest, why));
        match named {
            Named::Neither => invalid("Neither topic name nor id were specified."),
            Named::Both(..) => invalid("You may not specify both topic name and topic id."),
            Named::Name(_) if again => invalid("Duplicate topic name."),
            Named::Id(_) if again => invalid("Duplicate topic id."),
            Named::Name(name) => match self.image.topic(name) {
                Some(topic) => Ok((name, topic.id)),
                None => Err(ErrorCode::UnknownTopicOrPartition.into()),
            },
            Named::Id(id) => match self.image.topic_by_id(id) {
                Some(topic) => Ok((&topic.name, id)),
                None => Err(ErrorCode::UnknownTopicId.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use crate::{metadata::MetadataRecord, settings::Settings};
    use wire::delete_topics::DeleteTopicState;

    fn controller_with_topics(settings: Settings) -> Controller {
        let mut controller = controller_with(settings);
        for record in controller.auto_create(&["a", "b", "c"].map(str::to_owned), numbers()).records
        {
            controller.apply(&record);
        }
        controller
    }

    fn states(states: &[(Option<&str>, TopicId)]) -> DeleteTopicsRequest<'static> {
        let state = |(name, topic_id): &(Option<&str>, TopicId)| DeleteTopicState {
            name: name.map(|n| n.to_owned().into()),
            topic_id: *topic_id,
        };
        DeleteTopicsRequest { topics: states.iter().map(state).collect(), ..Default::default() }
    }

    fn names(names: &[&str]) -> DeleteTopicsRequest<'static> {
        DeleteTopicsRequest {
            topic_names: names.iter().map(|n| (*n).to_owned().into()).collect(),
            ..Default::default()
        }
    }

    fn codes(outcome: &Outcome<DeleteTopicsResponse<'static>>) -> Vec<ErrorCode> {
        outcome
            .response
            .responses
            .iter()
            .map(|r| ErrorCode::from_code(r.error_code).unwrap())
            .collect()
    }

    #[test]
    fn by_name_and_by_id() {
        let mut controller = controller_with_topics(settings());
        let outcome = controller.delete_topics(&names(&["a", "x"]), 5);
        assert_eq!(codes(&outcome), [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
        done(&mut controller, outcome);
        let id = controller.image().topic("b").unwrap().id;
        let outcome =
            controller.delete_topics(&states(&[(None, id), (Some("c"), TopicId::ZERO)]), 6);
        assert_eq!(codes(&outcome), [ErrorCode::None, ErrorCode::None]);
        assert_eq!(outcome.response.responses[0].name.as_deref(), Some("b"));
        done(&mut controller, outcome);
        assert_eq!(controller.image().topic_count(), 0);
    }

    #[test]
    fn what_is_named_wrongly_is_not_deleted() {
        let controller = controller_with_topics(settings());
        let id = controller.image().topic("a").unwrap().id;
        let unknown = TopicId([9; 16]);
        for (request, error) in [
            (names(&["a", "a"]), ErrorCode::InvalidRequest),
            (states(&[(None, id), (None, id)]), ErrorCode::InvalidRequest),
            (states(&[(Some("a"), id)]), ErrorCode::InvalidRequest),
            (states(&[(None, TopicId::ZERO)]), ErrorCode::InvalidRequest),
            (states(&[(None, unknown)]), ErrorCode::UnknownTopicId),
        ] {
            let outcome = controller.delete_topics(&request, 6);
            assert_eq!(codes(&outcome), [error], "{request:?}");
            assert!(outcome.records.is_empty());
        }
    }

    #[test]
    fn a_topic_that_is_named_by_name_and_by_id_stays() {
        let controller = controller_with_topics(settings());
        let (a, b) = ["a", "b"].map(|t| controller.image().topic(t).unwrap().id).into();
        let name = |name| (Some(name), TopicId::ZERO);
        let id = |id| (None, id);
        // As asked; the answers, with the ids in them; topics that go.
        let refused = ErrorCode::InvalidRequest;
        for (asked, wanted, gone) in [
            (vec![id(a), name("a")], vec![(Some("a"), a, refused)], vec![]),
            (vec![name("a"), id(a)], vec![(Some("a"), a, refused)], vec![]),
            (
                vec![id(a), id(a), name("a")],
                vec![(None, a, refused), (Some("a"), a, refused)],
                vec![],
            ),
            // A name that is there twice counts for nothing.
            (
                vec![id(a), name("a"), name("a")],
                vec![(Some("a"), a, ErrorCode::None), (Some("a"), TopicId::ZERO, refused)],
                vec![a],
            ),
            (
                vec![name("a"), id(b), id(a)],
                vec![(Some("a"), a, refused), (Some("b"), b, ErrorCode::None)],
                vec![b],
            ),
        ] {
            let outcome = controller.delete_topics(&states(&asked), 6);
            let answers: Vec<_> = outcome
                .response
                .responses
                .iter()
                .map(|r| {
                    let code = ErrorCode::from_code(r.error_code).unwrap();
                    (r.name.as_deref(), r.topic_id, code)
                })
                .collect();
            assert_eq!(answers, wanted, "{asked:?}");
            let removed: Vec<MetadataRecord> =
                gone.into_iter().map(|topic_id| RemoveTopicRecord { topic_id }.into()).collect();
            assert_eq!(outcome.records, removed, "{asked:?}");
        }
    }

    #[test]
    fn deletion_can_be_switched_off() {
        let controller =
            controller_with_topics(Settings { delete_topic_enable: false, ..settings() });
        for (version, error) in
            [(2, ErrorCode::InvalidRequest), (3, ErrorCode::TopicDeletionDisabled)]
        {
            let outcome = controller.delete_topics(&names(&["a"]), version);
            assert_eq!(codes(&outcome), [error]);
            assert!(outcome.records.is_empty());
        }
    }
}
