//! CreatePartitions.
use super::{Batch, Controller, Outcome, Refusal, code_and_message, replicas::Clipped};
use crate::{
    answer::distinct::repeated,
    metadata::{MetadataRecord, records::PartitionRecord},
};
use record::TopicId;
use std::collections::BTreeSet;
use wire::{
    ErrorCode,
    create_partitions::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
        CreatePartitionsTopicResult,
    },
};

impl Controller {
    /// `ReplicationControlManager.createPartitions`
    pub fn create_partitions(
        &self,
        request: &CreatePartitionsRequest<'_>,
    ) -> Outcome<CreatePartitionsResponse<'static>> {
        let mut batch = Batch::default();
        let mut added = 0;
        let mut results = Vec::new();
        let mut clipped = Vec::new();
        let mut seen = BTreeSet::new();
        let twice = repeated(&request.topics, |a, b| a.name.cmp(&b.name));
        for (topic, twice) in request.topics.iter().zip(twice) {
            if !seen.insert(&*topic.name) {
                continue;
            }
            let result = if twice {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else {
                self.add_partitions(topic, added).and_then(|(records, less)| {
                    added += records.len();
                    batch.add(records)?;
                    clipped.extend(less);
                    Ok(())
                })
            };
            let (error_code, error_message) = code_and_message(&result);
            let name = topic.name.to_string().into();
            results.push(CreatePartitionsTopicResult { name, error_code, error_message });
        }
        let response = CreatePartitionsResponse { results, ..Default::default() };
        if request.validate_only {
            return Outcome::unchanged(response);
        }
        Outcome { records: batch.records, response, clipped }
    }

    fn add_partitions(
        &self,
        topic: &CreatePartitionsTopic<'_>,
        others: usize,
    ) -> Result<(Vec<MetadataRecord>, Option<Clipped>), Refusal> {
        let Some(known) = self.image.topic(&topic.name) else {
            return Err(ErrorCode::UnknownTopicOrPartition.into());
        };
        let (id, has) = (known.id, known.partitions.len());
        let count = usize::try_from(topic.count).unwrap_or(0);
        if count == has {
            let why = format!("Topic already has {has} partition(s).");
            return Err(Refusal::new(ErrorCode::InvalidPartitions, why));
        }
        if count < has {
            let name = &topic.name;
            let why = format!(
                "The topic {name} currently has {has} partition(s); {} would not be an increase.",
                topic.count
            );
            return Err(Refusal::new(ErrorCode::InvalidPartitions, why));
        }
        let more = count - has;
        self.room_for(more, others)?;
        let factor = known.partitions.first().map_or(1, |p| p.replicas.len());
        let mut clipped = None;
        let replicas = match &topic.assignments {
            Some(given) if given.len() != more => {
                let why = format!(
                    "Attempted to add {more} additional partition(s), but only {} assignment(s) were specified.",
                    given.len()
                );
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
            }
            Some(given) => {
                let mut replicas = Vec::with_capacity(more);
                for (index, given) in (has..).zip(given) {
                    let assigned = self.assigned(&given.broker_ids)?;
                    let kept = assigned.hosts.len();
                    consistent(kept, Some(factor))?;
                    let index = i32::try_from(index).unwrap_or(i32::MAX);
                    self.check_core(id, index, &assigned)?;
                    clipped = clipped.or_else(|| Clipped::of(&topic.name, assigned.asked, kept));
                    replicas.push(assigned.hosts);
                }
                replicas
            }
            None => self.place(has, more, factor)?,
        };
        let records = (has..)
            .zip(replicas)
            .map(|(index, replicas)| new_partition(id, index, replicas).into());
        Ok((records.collect(), clipped))
    }

    /// Refuses more partitions than a request or this host may have. `others` = those of the same
    /// request.
    pub(super) fn room_for(&self, more: usize, others: usize) -> Result<(), Refusal> {
        if more + others > super::RECORDS_MAX {
            let why = super::TOO_MANY_PARTITIONS;
            return Err(Refusal::new(ErrorCode::PolicyViolation, why));
        }
        let max = self.settings.limits.partitions_max;
        let has = self.image.partition_count() + others;
        if has + more > max {
            let why = format!(
                "{more} more partitions than {has} would exceed the limit of {max} (millrace.partitions.max)."
            );
            return Err(Refusal::new(ErrorCode::PolicyViolation, why));
        }
        Ok(())
    }
}

/// Refuses an assignment of another number of replicas than those before it.
pub(super) fn consistent(replicas: usize, before: Option<usize>) -> Result<(), Refusal> {
    match before.filter(|&before| before != replicas) {
        None => Ok(()),
        Some(before) => {
            let why = format!(
                "The manual partition assignment includes a partition with {replicas} replica(s), but this is not consistent with \
                 previous partitions, which have {before} replica(s)."
            );
            Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why))
        }
    }
}

/// A partition that begins: its first replica leads it.
pub(super) fn new_partition(
    topic_id: TopicId,
    index: usize,
    replicas: Vec<i32>,
) -> PartitionRecord {
    PartitionRecord {
        partition_id: i32::try_from(index).unwrap_or(i32::MAX),
        topic_id,
        isr: replicas.clone(),
        leader: replicas.first().copied().unwrap_or(-1),
        leader_epoch: 0,
        partition_epoch: 0,
        // Kafka's DirectoryId.UNASSIGNED.
        directories: vec![TopicId::ZERO; replicas.len()],
        replicas,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use wire::create_partitions::CreatePartitionsAssignment;

    fn more(
        name: &'static str,
        count: i32,
        nodes: Option<&[&[i32]]>,
    ) -> CreatePartitionsTopic<'static> {
        let assignments = nodes.map(|n| {
            n.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.to_vec() }).collect()
        });
        CreatePartitionsTopic { name: name.into(), count, assignments }
    }

    fn ask(
        controller: &Controller,
        topics: Vec<CreatePartitionsTopic<'static>>,
        validate_only: bool,
    ) -> Outcome<Vec<ErrorCode>> {
        let request = CreatePartitionsRequest { topics, timeout_ms: 1, validate_only };
        let outcome = controller.create_partitions(&request);
        let codes = outcome
            .response
            .results
            .iter()
            .map(|r| ErrorCode::from_code(r.error_code).unwrap())
            .collect();
        Outcome { records: outcome.records, response: codes, clipped: outcome.clipped }
    }

    #[test]
    fn partitions_are_added_behind_those_that_are_there() {
        let mut controller = controller();
        for record in controller.auto_create(&["t".to_owned()], numbers()).records {
            controller.apply(&record);
        }
        let outcome = ask(&controller, vec![more("t", 3, None)], true);
        assert!(outcome.records.is_empty());
        let outcome = ask(&controller, vec![more("t", 3, None)], false);
        assert_eq!(done(&mut controller, outcome), [ErrorCode::None]);
        assert_eq!(controller.image().topic("t").unwrap().partitions.len(), 3);
        let id = controller.image().topic("t").unwrap().id;
        let broker = |index| 1000 + i32::from(crate::core::placement::core_of(id, index, 2).0);
        let outcome =
            ask(&controller, vec![more("t", 5, Some(&[&[broker(3)], &[broker(4)]]))], false);
        assert_eq!(done(&mut controller, outcome), [ErrorCode::None]);
        let topic = controller.image().topic("t").unwrap();
        assert!(
            topic.partitions.iter().all(|p| p.replicas == [1] && p.isr == [1] && p.leader == 1)
        );
    }

    #[test]
    fn what_cannot_be_added() {
        let mut controller = controller();
        for record in controller.auto_create(&["t".to_owned()], numbers()).records {
            controller.apply(&record);
        }
        let refused = |topic| {
            let outcome = ask(&controller, vec![topic], false);
            assert!(outcome.records.is_empty());
            outcome.response[0]
        };
        assert_eq!(refused(more("u", 2, None)), ErrorCode::UnknownTopicOrPartition);
        assert_eq!(refused(more("t", 1, None)), ErrorCode::InvalidPartitions);
        assert_eq!(refused(more("t", 0, None)), ErrorCode::InvalidPartitions);
        assert_eq!(refused(more("t", -5, None)), ErrorCode::InvalidPartitions);
        assert_eq!(refused(more("t", 20_000, None)), ErrorCode::PolicyViolation);
        assert_eq!(refused(more("t", i32::MAX, None)), ErrorCode::PolicyViolation);
        assert_eq!(refused(more("t", 2, Some(&[]))), ErrorCode::InvalidReplicaAssignment);
        assert_eq!(refused(more("t", 2, Some(&[&[]]))), ErrorCode::InvalidReplicaAssignment);
        assert_eq!(refused(more("t", 2, Some(&[&[7000]]))), ErrorCode::InvalidReplicaAssignment);
        assert_eq!(
            refused(more("t", 3, Some(&[&[1000], &[1000]]))),
            ErrorCode::InvalidReplicaAssignment
        );
        let outcome = ask(&controller, vec![more("t", 2, None), more("t", 3, None)], false);
        assert_eq!(outcome.response, [ErrorCode::InvalidRequest]);
    }
}
