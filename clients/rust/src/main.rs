//! rdkafka (librdkafka) as a judge of a broker: named cases, several at a time, one line each.

mod admin;
mod consume;
mod groups;
mod kit;
mod produce;

fn main() {
    let mut cases = kit::Cases::default();
    produce::add(&mut cases);
    consume::add(&mut cases);
    groups::add(&mut cases);
    admin::add(&mut cases);
    cases.run();
}
