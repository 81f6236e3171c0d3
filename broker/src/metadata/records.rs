//! The metadata records that Millrace writes and applies: those of Kafka's KRaft log that have a
//! meaning here.
//!
//! A record is owned, so it can be sent to every core. Its bytes are Kafka's: frame version, type,
//! version, message (`MetadataRecordSerde`). Types of Kafka that have no meaning here (ACLs,
//! quotas, ...) decode to `None`: who replays a log counts them. A type that Kafka 4.3 does not
//! have is an error, for the log then says something that cannot be obeyed.
use record::TopicId;
use wire::{
    Encode, Error, IntoOwned, Reader, RecordSet, Writer,
    record_frame::{decode_metadata, encode_metadata},
    records::metadata as kafka,
};

pub use kafka::{
    BrokerRegistrationChangeRecord, FeatureLevelRecord, PartitionChangeRecord, PartitionRecord,
    ProducerIdsRecord, RemoveTopicRecord,
};
/// The feature that says which records may be there.
const METADATA_FEATURE: &str = "metadata.version";
/// Kafka's `MetadataVersion.IBP_4_3_IV0`.
pub const METADATA_VERSION: i16 = 30;

pub type ConfigRecord = kafka::ConfigRecord<'static>;
pub type RegisterBrokerRecord = kafka::RegisterBrokerRecord<'static>;
pub type TopicRecord = kafka::TopicRecord<'static>;

/// One change of the cluster's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataRecord {
    Topic(TopicRecord),
    Partition(PartitionRecord),
    PartitionChange(PartitionChangeRecord),
    RemoveTopic(RemoveTopicRecord),
    Config(ConfigRecord),
    FeatureLevel(FeatureLevelRecord<'static>),
    ProducerIds(ProducerIdsRecord),
    RegisterBroker(RegisterBrokerRecord),
    BrokerRegistrationChange(BrokerRegistrationChangeRecord),
}

/// Runs an expression on the record inside.
macro_rules! each {
    ($record:expr, $it:ident => $then:expr) => {
        match $record {
            MetadataRecord::Topic($it) => $then,
            MetadataRecord::Partition($it) => $then,
            MetadataRecord::PartitionChange($it) => $then,
            MetadataRecord::RemoveTopic($it) => $then,
            MetadataRecord::Config($it) => $then,
            MetadataRecord::FeatureLevel($it) => $then,
            MetadataRecord::ProducerIds($it) => $then,
            MetadataRecord::RegisterBroker($it) => $then,
            MetadataRecord::BrokerRegistrationChange($it) => $then,
        }
    };
}

impl MetadataRecord {
    /// Bytes for the value of a record of `__cluster_metadata`.
    ///
    /// A record that cannot be encoded (a string beyond 32 KiB) is a mistake of the controller,
    /// which checks what it lets in.
    pub fn encode(&self) -> Vec<u8> {
        match encode_metadata(self, self.version()) {
            Ok(bytes) => bytes,
            Err(error) => {
                panic!("a metadata record that its version cannot carry: {error}: {self:?}")
            }
        }
    }

    /// Reads a value; `None` for a type that Kafka has and that means nothing here.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let (record, _) = decode_metadata::<kafka::MetadataRecord<'_>>(bytes)?;
        Ok(Self::of(record))
    }

    /// What a value is whose frame, type or version is not known here, as those of a newer program:
    /// found, and what is known.
    pub fn unknown(bytes: &[u8]) -> Option<String> {
        let [frame, id, version] = wire::record_frame::metadata_head(bytes)?;
        if frame != 1 {
            return Some(format!("in a frame of version {frame}, and this program knows 1"));
        }
        let message = match Self::decode(bytes) {
            Err(Error::Unsupported { message, .. }) => message,
            // Kafka's way to say that records may be there which an older program does not know, or
            // would pass over.
            Ok(Some(Self::FeatureLevel(r)))
                if r.name == METADATA_FEATURE && r.feature_level > METADATA_VERSION =>
            {
                return Some(format!(
                    "{METADATA_FEATURE} {}, and this program knows up to {METADATA_VERSION}",
                    r.feature_level
                ));
            }
            _ => return None,
        };
        let known = i16::try_from(id)
            .ok()
            .and_then(wire::record_frame::versions_of::<kafka::MetadataRecord<'static>>);
        Some(match known {
            Some((oldest, newest)) => format!(
                "a {message} of version {version}, and this program knows {oldest} to {newest}"
            ),
            None => format!("of type {id}, which this program does not know"),
        })
    }

    /// The topic id of a record that carries one.
    pub fn topic_id(&self) -> Option<TopicId> {
        match self {
            Self::Topic(r) => Some(r.topic_id),
            Self::Partition(r) => Some(r.topic_id),
            Self::PartitionChange(r) => Some(r.topic_id),
            Self::RemoveTopic(r) => Some(r.topic_id),
            _ => None,
        }
    }

    /// The oldest version that carries what the record says: the newest ones add fields of features
    /// that are not in force.
    fn version(&self) -> i16 {
        let elr = |now: &Option<Vec<i32>>, last: &Option<Vec<i32>>| {
            if now.is_some() || last.is_some() { 2 } else { 1 }
        };
        match self {
            Self::Partition(r) => elr(&r.eligible_leader_replicas, &r.last_known_elr),
            Self::PartitionChange(r) => elr(&r.eligible_leader_replicas, &r.last_known_elr),
            Self::RegisterBroker(r) => 3 + i16::from(r.cordoned_log_dirs.is_some()),
            Self::BrokerRegistrationChange(r) => 2 + i16::from(r.cordoned_log_dirs.is_some()),
            other => other.latest_version(),
        }
    }

    fn of(record: kafka::MetadataRecord<'_>) -> Option<Self> {
        use kafka::MetadataRecord as K;
        Some(match record {
            K::Topic(it) => Self::Topic(it.into_owned()),
            K::Partition(it) => Self::Partition(it),
            K::PartitionChange(it) => Self::PartitionChange(it),
            K::RemoveTopic(it) => Self::RemoveTopic(it),
            K::Config(it) => Self::Config(it.into_owned()),
            K::FeatureLevel(it) => Self::FeatureLevel(it.into_owned()),
            K::ProducerIds(it) => Self::ProducerIds(it),
            K::RegisterBroker(it) => Self::RegisterBroker(it.into_owned()),
            K::BrokerRegistrationChange(it) => Self::BrokerRegistrationChange(it),
            _ => return None,
        })
    }
}

impl Encode for MetadataRecord {
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), Error> {
        each!(self, it => it.encode(w, version))
    }
}

impl<'a> RecordSet<'a> for MetadataRecord {
    fn id(&self) -> i16 {
        each!(self, it => id_of(it))
    }

    fn latest_version(&self) -> i16 {
        each!(self, it => latest_of(it))
    }

    fn decode_as(id: i16, r: &mut Reader<'a>, version: i16) -> Result<Self, Error> {
        let record = kafka::MetadataRecord::decode_as(id, r, version)?;
        Self::of(record).ok_or(Error::Unsupported {
            message: "MetadataRecord without a meaning here",
            version: id,
        })
    }
}

fn id_of<T: wire::RecordMessage>(_: &T) -> i16 {
    T::ID
}

fn latest_of<T: wire::Message>(_: &T) -> i16 {
    T::VERSIONS.max
}

macro_rules! from {
    ($($variant:ident($type:ty);)*) => {$(
        impl From<$type> for MetadataRecord {
            fn from(record: $type) -> Self {
                Self::$variant(record)
            }
        }
    )*};
}

from! {
    Topic(TopicRecord);
    Partition(PartitionRecord);
    PartitionChange(PartitionChangeRecord);
    RemoveTopic(RemoveTopicRecord);
    Config(ConfigRecord);
    FeatureLevel(FeatureLevelRecord<'static>);
    ProducerIds(ProducerIdsRecord);
    RegisterBroker(RegisterBrokerRecord);
    BrokerRegistrationChange(BrokerRegistrationChangeRecord);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_as_kafka_writes_it() {
        let record =
            MetadataRecord::from(TopicRecord { name: "t".into(), topic_id: TopicId::METADATA });
        let bytes = record.encode();
        assert_eq!(bytes, b"\x01\x02\0\x02t\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0");
        assert_eq!(MetadataRecord::decode(&bytes), Ok(Some(record)));
    }

    #[test]
    fn versions_carry_what_the_record_says() {
        let mut partition =
            PartitionRecord { replicas: vec![1], isr: vec![1], leader: 1, ..Default::default() };
        for (elr, version) in [(None, 1), (Some(vec![2]), 2)] {
            partition.eligible_leader_replicas = elr;
            let record = MetadataRecord::from(partition.clone());
            let bytes = record.encode();
            assert_eq!(bytes[..3], [1, 3, version]);
            assert_eq!(MetadataRecord::decode(&bytes), Ok(Some(record)));
        }
    }

    #[test]
    fn types_without_a_meaning_here_are_told_from_unknown_ones() {
        let no_op =
            encode_metadata(&kafka::MetadataRecord::from(kafka::NoOpRecord::default()), 0).unwrap();
        assert_eq!(MetadataRecord::decode(&no_op), Ok(None));
        assert!(matches!(MetadataRecord::decode(&[1, 99, 0, 0]), Err(Error::Unsupported { .. })));
        assert!(matches!(MetadataRecord::decode(&[2, 2, 0]), Err(Error::Malformed(_))));
        assert!(matches!(MetadataRecord::decode(&[]), Err(Error::Malformed(_))));
    }
}
