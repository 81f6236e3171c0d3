//! Produce (key 0): batches to their partitions' logs.
//!
//! Each partition carries exactly one batch of format v2. It is checked (crate `record`, module
//! `validate`), given its place in the idempotent producer's sequence and its offsets, and copied
//! into the open group of the write-ahead log. The answer goes when every partition's high
//! watermark covers its batch: acks=1 and acks=all mean the same on one replica.
//!
//! acks=0 has no answer; an error then closes the connection (wire rule 18). Its place in the order
//! of the connection is kept all the same until it can be read, since on one replica Kafka's high
//! watermark has it when the next request is taken.
use super::{
    each_once::each_once,
    partitions::{Answers, Named, Partitions, Place},
    split::{merged, must_split, parts_of, scatter_parts},
};
use crate::{
    answer::Portion,
    config::topic::TopicConfig,
    core::{
        error_map::append_error,
        placement::core_of,
        request::{Held, Request, Stage},
    },
    partition::{leader::Role, waiters::AckWaiter},
    produce::ProduceAnswer,
    shard::{Shard, forward::Split},
};
use record::{
    BadRecord, BatchHeader, BatchView, Compression, RecodeError, Timestamp, TopicId, recode,
    refusal,
    validate::{BAD_RECORDS_MAX, Restamp, validate_with},
};
use std::borrow::Cow;
use wire::{
    ApiKey, Decode, Encode, ErrorCode, Reader, Str,
    produce::{
        BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, ProduceRequest,
        ProduceResponse, TopicProduceData, TopicProduceResponse,
    },
};

/// Bytes of a request's answer that tell why single records were refused. Records beyond are named
/// without: clients then take the partition's message.
const RECORD_ERROR_TEXT_MAX: usize = 16 << 10;

/// A refusal of one partition's batch.
struct Refusal {
    error: ErrorCode,
    message: Option<Cow<'static, str>>,
    leader: Option<LeaderIdAndEpoch>,
    /// The records at fault, where it is theirs.
    records: Vec<BadRecord>,
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Self {
        Self { error, message: None, leader: None, records: Vec::new() }
    }
}

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let mut body = ProduceRequest::decode(reader, request.version())?;
    body.topic_data = match each_once(shard.secret.seed(), body.topic_data, request.frame.len()) {
        Ok(topics) => topics,
        Err(topics) => return refuse_all(shard, request, topics, body.acks),
    };
    let acceptable = acceptable(request, &body);
    if acceptable.is_ok() && must_split(shard, request) {
        let (acks, timeout_ms) = (body.acks, body.timeout_ms);
        let transactional_id = body.transactional_id.clone();
        let part = move |topic_data| ProduceRequest {
            transactional_id: transactional_id.clone(),
            acks,
            timeout_ms,
            topic_data,
        };
        let parts = parts_of(shard, request, body.topic_data, part);
        return if parts.iter().all(|(core, _)| shard.may_forward(*core, request)) {
            scatter_parts(shard, request, parts)
        } else {
            shard.stats.log_waits += 1;
            Ok(Stage::Hold(Held::Owner))
        };
    }
    // A connection of this core is held back while the log has no room; those of others are not
    // seen from here.
    if request.forwarded && shard.defer(request, request.deadline(body.timeout_ms)) {
        return Ok(Stage::Later);
    }
    let (wall, now) = (shard.io.wall(), shard.now);
    let op = shard.produces.next_id();
    let mut answer = ProduceAnswer {
        topics: Vec::with_capacity(body.topic_data.len()),
        silent: body.acks == 0,
        tell_endpoints: false,
    };
    let (mut index, mut missing, mut failed) = (0, 0, false);
    let mut named = NamedRecords::default();
    for topic in &body.topic_data {
        let id = topic_id(shard, topic, request.version());
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for partition in &topic.partition_data {
            let records =
                partition.records.as_ref().map(wire::Records::contiguous).unwrap_or_default();
            let appended = match acceptable {
                Ok(()) => match id {
                    Ok(id) => {
                        let version = request.version();
                        append(shard, (id, partition.index), &records, version, wall)
                    }
                    Err(error) => Err(error.into()),
                },
                Err(error) => Err(error.into()),
            };
            let mut response =
                PartitionProduceResponse { index: partition.index, ..Default::default() };
            match appended {
                Ok((slot, appended)) => {
                    response.base_offset = appended.base_offset.0;
                    response.log_append_time_ms = appended.log_append_time;
                    response.log_start_offset = appended.log_start.0;
                    if shard.store.offsets(slot).high_watermark < appended.end_offset {
                        let leader =
                            shard.partitions.at_mut(slot).expect("a partition just appended to");
                        leader.acks.push(AckWaiter {
                            end_offset: appended.end_offset.0,
                            op,
                            index,
                            since: now,
                        });
                        missing += 1;
                    }
                }
                Err(refusal) => {
                    failed = true;
                    response.error_code = refusal.error.code();
                    response.base_offset = -1;
                    // Clients then fail these with the error, and the rest of the batch for being
                    // beside them (KIP-467).
                    if request.version() >= 8 {
                        response.record_errors = named.name(&refusal.records);
                    }
                    response.error_message = refusal.message.map(|m| m.into_owned().into());
                    if let Some(leader) = refusal.leader.filter(|_| request.version() >= 10) {
                        response.current_leader = leader;
                        answer.tell_endpoints = true;
                    }
                }
            }
            partitions.push(response);
            index += 1;
        }
        answer.topics.push(TopicProduceResponse {
            name: topic.name.clone().into_owned().into(),
            topic_id: topic.topic_id,
            partition_responses: partitions,
        });
    }
    let pending = request.pending;
    if body.acks == 0 && missing == 0 {
        return Ok(unanswered(shard, &answer, failed));
    }
    if missing == 0 {
        return request.answer(&shard.produce_response(&pending, answer));
    }
    let timeout_ms = u64::try_from(body.timeout_ms).unwrap_or(0).max(1);
    shard.produces.add(pending, answer, missing, shard.now.after_ms(timeout_ms));
    Ok(Stage::Later)
}

/// What becomes of a request that has no answer.
fn unanswered(shard: &mut Shard, answer: &ProduceAnswer, failed: bool) -> Stage {
    if !failed {
        return Stage::Silent;
    }
    // Nobody is told them.
    for code in answer.error_codes() {
        shard.stats.error(ApiKey::Produce, code, 1);
    }
    Stage::close("a produce request with acks=0 that failed")
}

/// Refuses a request that names more than it has batches for. Kafka answers each partition, and
/// would store what batches there are; no client makes such a request.
fn refuse_all(
    shard: &mut Shard,
    request: &Request<'_>,
    topics: Vec<TopicProduceData<'_>>,
    acks: i16,
) -> Result<Stage, wire::Error> {
    if acks == 0 {
        return Ok(Stage::close(
            "a produce request with acks=0 that names partitions without batches",
        ));
    }
    let all = topics;
    let topics = || all.iter().filter(|t| !t.partition_data.is_empty());
    let mut named = Named::with_room(topics().map(|t| (&*t.name, t.partition_data.len())));
    let ids = match request.version() {
        13.. => topics().map(|t| t.topic_id).collect(),
        _ => Vec::new(),
    };
    for topic in topics() {
        named.push(&topic.name, topic.partition_data.iter().map(|p| p.index));
    }
    drop(all);
    let partitions = Partitions::new(named, WithoutBatches { ids });
    shard.answer_in_portions(request.pending, ProduceResponse::default, partitions)
}

/// The answer to partitions without a batch (Kafka: `ProduceRequest.validateRecords`).
struct WithoutBatches {
    /// Of the topics, in versions that have them.
    ids: Vec<TopicId>,
}

impl Answers for WithoutBatches {
    type Row = i32;
    const LASTS: bool = true;

    fn topic<'t>(&self, topic: Place<'t>) -> impl Encode + 't {
        TopicProduceResponse {
            name: topic.name.into(),
            topic_id: self.ids.get(topic.at).copied().unwrap_or_default(),
            partition_responses: Vec::new(),
        }
    }

    fn partition(
        &mut self,
        _: &mut Shard,
        _: Place<'_>,
        &index: &i32,
        out: &mut Portion,
    ) -> Result<(), wire::Error> {
        out.put_inner(&PartitionProduceResponse {
            index,
            error_code: ErrorCode::InvalidRecord.code(),
            base_offset: -1,
            ..Default::default()
        })
    }
}

impl Split for ProduceRequest<'_> {
    fn merge<'r: 'r>(answers: Vec<ProduceResponse<'r>>) -> ProduceResponse<'r> {
        let node_endpoints =
            answers.iter().find(|a| !a.node_endpoints.is_empty()).map(|a| a.node_endpoints.clone());
        let mut responses = merged(answers.into_iter().map(|a| a.responses));
        // Each core has named as many as a whole answer may.
        let mut room = BAD_RECORDS_MAX;
        for partition in responses.iter_mut().flat_map(|t| &mut t.partition_responses) {
            partition.record_errors.truncate(room);
            room -= partition.record_errors.len();
        }
        ProduceResponse {
            node_endpoints: node_endpoints.unwrap_or_default(),
            responses,
            throttle_time_ms: 0,
        }
    }
}

fn acceptable(request: &Request<'_>, body: &ProduceRequest<'_>) -> Result<(), ErrorCode> {
    if request.expired {
        return Err(ErrorCode::RequestTimedOut);
    }
    if !(-1..=1).contains(&body.acks) {
        return Err(ErrorCode::InvalidRequiredAcks);
    }
    // It is the batches that say whether they are of a transaction, and without a transactional id
    // one of them refuses the whole request (`KafkaApis.handleProduceRequest`). An id beside other
    // batches says nothing.
    let mut partitions = body.topic_data.iter().flat_map(|t| &t.partition_data);
    let transactional = partitions.any(|p| {
        let records = p.records.as_ref().map(wire::Records::contiguous);
        let header = records.and_then(|records| BatchHeader::parse(&records).ok());
        header.is_some_and(|header| header.attributes.is_transactional())
    });
    if transactional && body.transactional_id.is_none() {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    Ok(())
}

fn topic_id(
    shard: &Shard,
    topic: &TopicProduceData<'_>,
    version: i16,
) -> Result<TopicId, ErrorCode> {
    if version >= 13 {
        let id = topic.topic_id;
        return if shard.image.topic_by_id(id).is_some() {
            Ok(id)
        } else {
            Err(ErrorCode::UnknownTopicId)
        };
    }
    shard.image.topic(&topic.name).map(|t| t.id).ok_or(ErrorCode::UnknownTopicOrPartition)
}

fn append(
    shard: &mut Shard,
    (topic, partition): (TopicId, i32),
    batch: &[u8],
    version: i16,
    wall: i64,
) -> Result<(storage::LogSlot, storage::Appended), Refusal> {
    let slot = leader_of(shard, topic, partition)?;
    let leader = shard.partitions.at(slot).expect("a partition just found");
    if leader.role != Role::User {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    if leader.failed.is_some() {
        return Err(ErrorCode::KafkaStorageError.into());
    }
    let (config, traffic) = (leader.config.clone(), leader.traffic.clone());
    check_size(batch, &config)?;
    let validated = validate_with(&mut shard.scratch, batch, &config.validate, Timestamp(wall));
    let validated = validated.map_err(|first| {
        let (scratch, options) = (&mut shard.scratch, &config.validate);
        invalid(refusal(scratch, batch, options, Timestamp(wall), first))
    })?;
    let attributes = validated.header.attributes;
    // Transactions are refused when the client asks for a transactional producer id; one that gets
    // here anyway has none. Stored, it would be a transaction that never ends.
    if attributes.is_transactional() {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed.into());
    }
    let came_in = attributes.compression().ok();
    // `ProduceRequest.validateRecords` (KIP-110)
    if version < 7 && came_in == Some(Compression::Zstd) {
        return Err(ErrorCode::UnsupportedCompressionType.into());
    }
    let recoded = match config.compression {
        Some((codec, level)) if came_in != Some(codec) => {
            let cap = config.validate.max_decompressed.max(batch.len());
            let recoded = BatchView::parse(batch)
                .map_err(|error| (ErrorCode::InvalidRecord, error.to_string()))
                .and_then(|view| {
                    recode(&view, codec, level, cap).map_err(|error| {
                        let code = match error {
                            RecodeError::TooLong => ErrorCode::MessageTooLarge,
                            _ => ErrorCode::InvalidRecord,
                        };
                        (code, error.to_string())
                    })
                })
                .map_err(|(error, why)| Refusal {
                    error,
                    message: Some(why.into()),
                    leader: None,
                    records: Vec::new(),
                })?;
            check_size(&recoded, &config)?;
            Some(recoded)
        }
        _ => None,
    };
    let batch = recoded.as_deref().unwrap_or(batch);
    let append = |store: &mut storage::Store| match validated.restamp {
        Restamp::Keep => store.append(slot, batch, None),
        Restamp::LogAppendTime(stamp) => store.append(slot, batch, Some(stamp.0)),
        // The header's maximum is not that of the records: rare enough for a copy.
        Restamp::MaxTimestamp(_) => {
            let mut mended = batch.to_vec();
            validated.apply(&mut mended);
            store.append(slot, &mended, None)
        }
    };
    let appended = append(&mut shard.store).map_err(|error| {
        let (code, message) = append_error(&error);
        Refusal { error: code, message: Some(message.into()), leader: None, records: Vec::new() }
    })?;
    // One that had come before is not stored again.
    if !appended.duplicate {
        shard.stats.produced_bytes += batch.len() as u64;
        traffic.produced(batch.len(), u64::try_from(validated.header.records_count).unwrap_or(0));
    }
    Ok((slot, appended))
}

fn invalid(refusal: record::Refusal) -> Refusal {
    let (error, mut message) = crate::core::error_map::invalid_batch(&refusal.why);
    let others = refusal.records.len().saturating_sub(1);
    if others > 0 {
        let least = if refusal.records.len() == BAD_RECORDS_MAX { "at least " } else { "" };
        message = format!("{message} (and {least}{others} more of the batch's records)");
    }
    Refusal { error, message: Some(message.into()), leader: None, records: refusal.records }
}

/// What a request's answer says of single records (KIP-467), so far.
///
/// Kafka names all of them, each with a sentence. A batch of 1 MiB can hold millions of records
/// without a key, so here an answer names at most [`BAD_RECORDS_MAX`], whatever the number of its
/// partitions.
#[derive(Default)]
struct NamedRecords {
    records: usize,
    text_bytes: usize,
}

impl NamedRecords {
    fn name(&mut self, bad: &[BadRecord]) -> Vec<BatchIndexAndErrorMessage<'static>> {
        let room = BAD_RECORDS_MAX - self.records;
        self.records += bad.len().min(room);
        bad.iter()
            .take(room)
            .map(|bad| BatchIndexAndErrorMessage {
                batch_index: bad.index,
                batch_index_error_message: (self.text_bytes < RECORD_ERROR_TEXT_MAX).then(|| {
                    let why = bad.why.to_string();
                    self.text_bytes += why.len();
                    Str::from(why)
                }),
            })
            .collect()
    }
}

fn check_size(batch: &[u8], config: &TopicConfig) -> Result<(), Refusal> {
    let (size, max) = (batch.len(), config.max_message_bytes);
    if size <= max {
        return Ok(());
    }
    Err(Refusal {
        error: ErrorCode::MessageTooLarge,
        message: Some(format!("a batch of {size} bytes, max.message.bytes is {max}").into()),
        leader: None,
        records: Vec::new(),
    })
}

/// The partition's log, if this core leads it; else what the client needs to find the leader.
fn leader_of(shard: &Shard, topic: TopicId, partition: i32) -> Result<storage::LogSlot, Refusal> {
    if let Some(slot) = shard.partitions.slot(topic, partition) {
        return Ok(slot);
    }
    let known = shard
        .image
        .topic_by_id(topic)
        .and_then(|t| t.partitions.get(usize::try_from(partition).ok()?));
    let Some(known) = known else {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    };
    let core = core_of(topic, partition, shard.settings.cores);
    Err(Refusal {
        error: ErrorCode::NotLeaderOrFollower,
        message: None,
        leader: Some(LeaderIdAndEpoch {
            leader_id: shard.settings.client_id_of(core),
            leader_epoch: known.leader_epoch,
        }),
        records: Vec::new(),
    })
}
