//! InitProducerId for idempotent producers. Ids come from blocks: a record reserves a block before
//! any of its ids is given, so that no id is given twice, whatever is lost in a crash; what is left
//! of a block then is skipped.
use super::{Controller, Outcome, Refusal};
use crate::metadata::records::ProducerIdsRecord;
use wire::{
    ErrorCode,
    init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
};

/// Kafka's `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`.
const BLOCK: i64 = 1000;

impl Controller {
    /// A transactional producer is refused at once with a code on which Java's producer and
    /// librdkafka fail instead of asking again.
    pub fn init_producer_id(
        &mut self,
        request: &InitProducerIdRequest<'_>,
    ) -> Outcome<InitProducerIdResponse> {
        if let Err(refusal) = self.check_producer(request) {
            let error_code = refusal.error.code();
            return Outcome::unchanged(InitProducerIdResponse {
                error_code,
                producer_epoch: -1,
                ..Default::default()
            });
        }
        let reserved = self.image.next_producer_id();
        let mut records = Vec::new();
        // The second condition: a block whose record could not be appended is not ours.
        if self.ids.is_empty() || self.ids.end > reserved {
            let Some(end) = reserved.checked_add(BLOCK) else {
                let error_code = ErrorCode::UnknownServerError.code();
                return Outcome::unchanged(InitProducerIdResponse {
                    error_code,
                    producer_epoch: -1,
                    ..Default::default()
                });
            };
            let broker_id = self.settings.node_id;
            let broker_epoch = self.image.brokers().get(&broker_id).map_or(-1, |b| b.broker_epoch);
            records
                .push(ProducerIdsRecord { broker_id, broker_epoch, next_producer_id: end }.into());
            self.ids = reserved..end;
        }
        let producer_id = self.ids.start;
        self.ids.start += 1;
        let response =
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() };
        Outcome::new(records, response)
    }

    fn check_producer(&self, request: &InitProducerIdRequest<'_>) -> Result<(), Refusal> {
        if (request.producer_id == -1) != (request.producer_epoch == -1) {
            return Err(ErrorCode::InvalidRequest.into());
        }
        let Some(id) = &request.transactional_id else {
            return Ok(());
        };
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest.into());
        }
        let max = self.defaults.integer("transaction.max.timeout.ms").unwrap_or(i64::MAX);
        if !(1..=max).contains(&i64::from(request.transaction_timeout_ms)) {
            return Err(ErrorCode::InvalidTransactionTimeout.into());
        }
        Err(ErrorCode::TransactionalIdAuthorizationFailed.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use crate::{config::Defaults, metadata::Image};

    fn plain() -> InitProducerIdRequest<'static> {
        InitProducerIdRequest { transactional_id: None, ..Default::default() }
    }

    #[test]
    fn ids_rise_and_a_block_is_reserved_before_its_first() {
        let mut controller = controller();
        let mut blocks = 0;
        for id in 0..2500 {
            let outcome = controller.init_producer_id(&plain());
            blocks += outcome.records.len();
            let response = done(&mut controller, outcome);
            assert_eq!(
                (response.error_code, response.producer_id, response.producer_epoch),
                (0, id, 0)
            );
            assert!(response.producer_id < controller.image().next_producer_id());
        }
        assert_eq!(blocks, 3);
    }

    #[test]
    fn a_restart_skips_the_rest_of_a_block() {
        let mut first = controller();
        let outcome = first.init_producer_id(&plain());
        done(&mut first, outcome);
        let mut second = Controller::new(
            Image::of(&first.image().to_records()),
            settings(),
            Defaults::default(),
        );
        assert_eq!(second.init_producer_id(&plain()).response.producer_id, 1000);
    }

    #[test]
    fn a_block_that_was_not_appended_is_asked_for_again() {
        let mut controller = controller();
        assert_eq!(controller.init_producer_id(&plain()).records.len(), 1);
        let outcome = controller.init_producer_id(&plain());
        assert_eq!(outcome.records.len(), 1, "the first was never applied");
        assert_eq!(done(&mut controller, outcome).producer_id, 0);
        assert!(controller.init_producer_id(&plain()).records.is_empty());
    }

    #[test]
    fn transactions_are_refused_for_good() {
        let mut controller = controller();
        for (id, timeout, error) in [
            ("", 1000, ErrorCode::InvalidRequest),
            ("t", 0, ErrorCode::InvalidTransactionTimeout),
            ("t", 900_001, ErrorCode::InvalidTransactionTimeout),
            ("t", 900_000, ErrorCode::TransactionalIdAuthorizationFailed),
        ] {
            let request = InitProducerIdRequest {
                transactional_id: Some(id.into()),
                transaction_timeout_ms: timeout,
                ..plain()
            };
            let outcome = controller.init_producer_id(&request);
            assert!(outcome.records.is_empty());
            assert_eq!(outcome.response.error_code, error.code());
            assert!(!error.is_retriable());
            assert_eq!((outcome.response.producer_id, outcome.response.producer_epoch), (-1, -1));
        }
        let half = InitProducerIdRequest { producer_id: 5, ..plain() };
        assert_eq!(
            controller.init_producer_id(&half).response.error_code,
            ErrorCode::InvalidRequest.code()
        );
    }
}
