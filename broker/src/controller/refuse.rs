//! The answer to a change of metadata that did not come about, because its records could not be
//! written: what would have succeeded has the error, what was refused before keeps its own.
use super::topics::Created;
use record::TopicId;
use wire::{
    ErrorCode, Str, alter_configs::AlterConfigsResponse,
    alter_partition_reassignments::AlterPartitionReassignmentsResponse,
    create_partitions::CreatePartitionsResponse, delete_topics::DeleteTopicsResponse,
    incremental_alter_configs::IncrementalAlterConfigsResponse,
    init_producer_id::InitProducerIdResponse,
};

/// A response of the controller.
pub trait Refuse {
    /// Replaces success by `error`.
    fn refuse(&mut self, error: ErrorCode, message: &str);
}

/// Replaces one part's success.
fn part(code: &mut i16, text: &mut Option<Str<'static>>, error: ErrorCode, message: &str) -> bool {
    let succeeded = *code == 0;
    if succeeded {
        *code = error.code();
        *text = Some(message.to_owned().into());
    }
    succeeded
}

impl Refuse for Created {
    fn refuse(&mut self, error: ErrorCode, message: &str) {
        for topic in &mut self.topics {
            if part(&mut topic.error_code, &mut topic.error_message, error, message) {
                topic.topic_id = TopicId::ZERO;
                (topic.num_partitions, topic.replication_factor) = (-1, -1);
                topic.configs = Some(Vec::new());
            }
        }
    }
}

/// Responses of parts that have a code and a message and nothing else to take back.
macro_rules! refuse_parts {
    ($($response:ident: $parts:ident),* $(,)?) => {$(
        impl Refuse for $response<'static> {
            fn refuse(&mut self, error: ErrorCode, message: &str) {
                for each in &mut self.$parts {
                    part(&mut each.error_code, &mut each.error_message, error, message);
                }
            }
        }
    )*};
}

refuse_parts!(
    DeleteTopicsResponse: responses,
    CreatePartitionsResponse: results,
    AlterConfigsResponse: responses,
    IncrementalAlterConfigsResponse: responses,
);

impl Refuse for AlterPartitionReassignmentsResponse<'static> {
    fn refuse(&mut self, error: ErrorCode, message: &str) {
        for each in self.responses.iter_mut().flat_map(|r| &mut r.partitions) {
            part(&mut each.error_code, &mut each.error_message, error, message);
        }
    }
}

impl Refuse for InitProducerIdResponse {
    fn refuse(&mut self, error: ErrorCode, _: &str) {
        if self.error_code == 0 {
            *self = Self { error_code: error.code(), producer_epoch: -1, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::create_topics::CreatableTopicResult;

    #[test]
    fn only_success_is_replaced() {
        let taken = CreatableTopicResult {
            error_code: ErrorCode::TopicAlreadyExists.code(),
            ..Default::default()
        };
        let made = CreatableTopicResult {
            topic_id: TopicId::METADATA,
            num_partitions: 3,
            ..Default::default()
        };
        let mut response = Created::of(vec![taken.clone(), made]);
        response.refuse(ErrorCode::KafkaStorageError, "the disk");
        assert_eq!(response.topics[0], taken);
        let refused = &response.topics[1];
        assert_eq!(refused.error_code, ErrorCode::KafkaStorageError.code());
        assert_eq!((refused.topic_id, refused.num_partitions), (TopicId::ZERO, -1));
    }
}
