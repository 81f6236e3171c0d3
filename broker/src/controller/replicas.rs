//! How many replicas a partition gets, and where: one rule for all who ask (docs/decisions/0009).
//!
//! A replica goes to a host, never to a core. With a port for each core clients see several brokers
//! where one host is, so a program that asks for two replicas asks for what it was shown. While one
//! host is registered, as many replicas as brokers are shown may be asked for; one is kept, and the
//! log says so. Which core of the host has it is no free choice yet: where an assignment names
//! cores, the replica is on one of them, or the assignment is refused.
use super::{Controller, Outcome, Refusal, code_and_message};
use crate::{
    core::placement::core_of,
    metadata::{TopicImage, records::RegisterBrokerRecord},
};
use netio::CoreId;
use record::TopicId;
use wire::{
    ErrorCode,
    alter_partition_reassignments::{
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
        ReassignablePartition, ReassignablePartitionResponse, ReassignableTopicResponse,
    },
};

/// What becomes of more replicas than hosts: looked at when somebody asks.
pub(super) const ABOVE_HOSTS: &str = "millrace.replication.factor.above.hosts";

/// Replicas that were asked for and are not all kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clipped {
    pub topic: String,
    pub asked: usize,
    pub kept: usize,
}

impl Clipped {
    /// `None` when all are kept.
    pub(super) fn of(topic: &str, asked: usize, kept: usize) -> Option<Self> {
        (kept < asked).then(|| Self { topic: topic.to_owned(), asked, kept })
    }
}

/// A manual assignment of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    /// Hosts that get a replica, in order.
    pub hosts: Vec<i32>,
    /// How many were asked for.
    pub asked: usize,
    /// Cores of this host that are named. None of them is when it shows itself as one broker.
    cores: Vec<CoreId>,
}

impl Assigned {
    fn allows(&self, core: CoreId) -> bool {
        self.cores.is_empty() || self.cores.contains(&core)
    }
}

impl Controller {
    /// Brokers that clients see: as many as the hosts have listeners.
    fn brokers_shown(&self) -> usize {
        let shown = |b: &RegisterBrokerRecord| b.end_points.len().max(1);
        let brokers = self.image.brokers().values().filter(|b| !b.fenced);
        brokers.map(shown).sum()
    }

    fn clips(&self) -> bool {
        self.hosts().len() == 1
            && self
                .defaults()
                .text(ABOVE_HOSTS)
                .is_none_or(|text| text.eq_ignore_ascii_case("clip"))
    }

    /// The replicas that are kept where `asked` are asked for.
    fn factor(&self, asked: usize) -> Result<usize, Refusal> {
        let (hosts, shown) = (self.hosts().len(), self.brokers_shown());
        if asked <= hosts {
            return Ok(asked);
        }
        if asked <= shown && self.clips() {
            return Ok(hosts);
        }
        let of = match hosts {
            1 => "one host".to_owned(),
            hosts => format!("{hosts} hosts"),
        };
        let (has, cure) = if asked <= shown {
            let cure = format!(
                " The {shown} brokers are cores of {of}, and a replica needs a host of its own: \
                 {ABOVE_HOSTS}=clip keeps as many as there are hosts, --single-port shows each host as one broker."
            );
            (hosts, cure)
        } else if shown > hosts {
            let cure = format!(
                " They are cores of {of}, and a replica needs a host of its own: \
                 --single-port shows each host as one broker."
            );
            (shown, cure)
        } else {
            (shown, String::new())
        };
        let why = format!(
            "Unable to replicate the partition {asked} time(s): The target replication factor of {asked} cannot be reached \
             because only {has} broker(s) are registered.{cure}"
        );
        Err(Refusal::new(ErrorCode::InvalidReplicationFactor, why))
    }

    /// Replicas for `count` partitions from index `first` on: hosts in turn.
    pub(super) fn place(
        &self,
        first: usize,
        count: usize,
        asked: usize,
    ) -> Result<Vec<Vec<i32>>, Refusal> {
        let factor = self.factor(asked)?;
        let hosts = self.hosts();
        Ok((first..first + count)
            .map(|p| (0..factor).map(|r| hosts[(p + r) % hosts.len()]).collect())
            .collect())
    }

    /// Hosts and cores of a manual assignment, which names brokers as clients see them
    /// (`ReplicationControlManager.validateManualPartitionAssignment`).
    pub(super) fn assigned(&self, brokers: &[i32]) -> Result<Assigned, Refusal> {
        let refuse = |why: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
        if brokers.is_empty() {
            return refuse(
                "The manual partition assignment includes an empty replica list.".into(),
            );
        }
        let (mut hosts, mut cores) = (Vec::new(), Vec::new());
        // The first that is not registered or named twice ends it, so this looks at no more than
        // there are.
        for (index, &broker) in brokers.iter().enumerate() {
            let Some(host) = self.host_of(broker) else {
                return refuse(format!(
                    "The manual partition assignment includes broker {broker}, but no such broker is registered."
                ));
            };
            if brokers[..index].contains(&broker) {
                return refuse(format!(
                    "The manual partition assignment includes the broker {broker} more than once."
                ));
            }
            if !hosts.contains(&host) {
                hosts.push(host);
            }
            cores.extend(self.settings.core_behind(broker));
        }
        if hosts.len() < brokers.len() && !self.clips() {
            return refuse(format!(
                "The manual partition assignment includes brokers {brokers:?}, of which some are cores of one host: a replica \
                 needs a host of its own ({ABOVE_HOSTS}=clip keeps one a host, --single-port shows each host as one broker)."
            ));
        }
        Ok(Assigned { hosts, asked: brokers.len(), cores })
    }

    /// The core that a topic has to begin on, for the replicas of its partitions to be on cores
    /// that were named, the first of them for as many as can be. `None` when no core was named.
    pub(super) fn begins(&self, partitions: &[Assigned]) -> Result<Option<CoreId>, Refusal> {
        let cores = usize::from(self.settings.cores);
        let (mut fits, mut firsts) = (vec![0; cores], vec![0; cores]);
        let named = || (0..).zip(partitions).filter(|(_, p)| !p.cores.is_empty());
        for (index, partition) in named() {
            for (at, core) in partition.cores.iter().enumerate() {
                let begins = (usize::from(core.0) + cores - index % cores) % cores;
                fits[begins] += 1;
                firsts[begins] += usize::from(at == 0);
            }
        }
        let wanted = named().count();
        if wanted == 0 {
            return Ok(None);
        }
        let leads = partitions.first().and_then(|p| p.cores.first());
        let fitting = (0..cores).filter(|&core| fits[core] == wanted);
        let best = |&core: &usize| {
            let leads = leads.is_some_and(|first| usize::from(first.0) == core);
            (firsts[core], leads)
        };
        match fitting.max_by_key(best) {
            Some(core) => Ok(u16::try_from(core).ok().map(CoreId)),
            None => {
                let why = "The manual partition assignment cannot be honoured: the partitions of a topic go round the cores of a \
                           host in turn, and cannot be moved between cores yet. Name the brokers in turn, or give a replication \
                           factor instead.";
                Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why))
            }
        }
    }

    /// Refuses an assignment of a partition, of a topic that is there, to other cores than the one
    /// that it is on.
    pub(super) fn check_core(
        &self,
        topic: TopicId,
        partition: i32,
        assigned: &Assigned,
    ) -> Result<(), Refusal> {
        let core = core_of(topic, partition, self.settings.cores);
        if assigned.allows(core) {
            return Ok(());
        }
        let named: Vec<i32> =
            assigned.cores.iter().map(|&core| self.settings.client_id_of(core)).collect();
        let why = format!(
            "Partition {partition} is on broker {}, not on {named:?}: which core of a host a partition is on follows from its \
             topic, and it cannot be moved between cores yet.",
            self.settings.client_id_of(core)
        );
        Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why))
    }

    /// `ReplicationControlManager.alterPartitionReassignments`. Who names the replica that there is
    /// changes nothing.
    pub fn alter_partition_reassignments(
        &self,
        request: &AlterPartitionReassignmentsRequest<'_>,
    ) -> Outcome<AlterPartitionReassignmentsResponse<'static>> {
        let mut outcome = Outcome::unchanged(AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: request.allow_replication_factor_change,
            error_message: None,
            ..Default::default()
        });
        for topic in &request.topics {
            let known = self.image.topic(&topic.name);
            let mut clipped = None;
            let judged = |asked: &ReassignablePartition| {
                let judged = self.reassign(known, asked, request.allow_replication_factor_change);
                let (error_code, error_message) = code_and_message(&judged);
                if let Ok(assigned) = judged {
                    clipped = clipped
                        .take()
                        .or_else(|| Clipped::of(&topic.name, assigned.asked, assigned.hosts.len()));
                }
                ReassignablePartitionResponse {
                    partition_index: asked.partition_index,
                    error_code,
                    error_message,
                }
            };
            let partitions = topic.partitions.iter().map(judged).collect();
            outcome.response.responses.push(ReassignableTopicResponse {
                name: topic.name.to_string().into(),
                partitions,
            });
            outcome.clipped.extend(clipped);
        }
        outcome
    }

    fn reassign(
        &self,
        topic: Option<&TopicImage>,
        asked: &ReassignablePartition,
        may_change_factor: bool,
    ) -> Result<Assigned, Refusal> {
        let index = asked.partition_index;
        let known = topic.and_then(|topic| {
            let partition = topic.partitions.get(usize::try_from(index).ok()?)?;
            Some((topic.id, partition))
        });
        let Some((id, partition)) = known else {
            let why = match topic {
                None => "Unable to find a topic of that name.".to_owned(),
                Some(_) => format!("Unable to find partition {index}."),
            };
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, why));
        };
        let Some(brokers) = &asked.replicas else {
            return Err(ErrorCode::NoReassignmentInProgress.into());
        };
        let assigned = self.assigned(brokers)?;
        if !may_change_factor && assigned.asked != partition.replicas.len() {
            let why = format!(
                "The replication factor is changed from {} to {}",
                partition.replicas.len(),
                assigned.asked
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, why));
        }
        self.check_core(id, index, &assigned)?;
        Ok(assigned)
    }
}

#[cfg(test)]
#[path = "replicas_tests.rs"]
mod tests;
