//! What every driver owes to the programs above it: each scenario is written once, as programs
//! against [`netio::Io`], and runs on a real ring (real disk, loopback) and in the simulation under
//! several seeds.
//!
//! Scenarios about what only a simulation can do (power cuts, injected faults, replay) are in
//! `simulated`.
#[path = "conformance/bed.rs"]
mod bed;
#[path = "conformance/closing.rs"]
mod closing;
#[path = "conformance/files.rs"]
mod files;
#[path = "conformance/lanes.rs"]
mod lanes;
#[path = "conformance/simulated.rs"]
mod simulated;
#[path = "conformance/streams.rs"]
mod streams;
#[path = "conformance/tasks.rs"]
mod tasks;

/// Runs each scenario on both drivers.
macro_rules! scenarios {
    ($($module:ident: $($name:ident),+;)+) => {
        mod sim {
            $(mod $module {
                $(#[test] fn $name() { crate::bed::on_sim(crate::$module::$name); })+
            })+
        }
        mod ring {
            $(mod $module {
                $(#[test] fn $name() { crate::bed::on_ring(stringify!($name), crate::$module::$name); })+
            })+
        }
    };
}

scenarios! {
    files:
        written_bytes_are_read_back, a_file_grows_by_allocation_and_is_cut, names_move_and_listings_are_sorted,
        errors_are_those_of_the_system, direct_files_want_aligned_memory, slices_are_written_in_order,
        dsync_is_readable_after_reopening, disjoint_writes_at_once, dropped_reads_harm_nobody, foreground_writes_have_tokens,
        many_files_open_and_close, space_is_told;
    tasks:
        timers_fire_in_order_and_not_when_cancelled, sleeps_end_in_order_of_time, every_class_gets_on, task_sets_give_outcomes,
        a_dropped_task_set_cancels, tasks_wake_each_other, turns_can_be_asked_for, chance_and_clocks;
    lanes:
        messages_arrive_in_order_from_all, a_full_lane_gives_the_message_back, a_resting_core_is_woken, an_ended_core_takes_no_messages;
    streams:
        small_frames_are_echoed, large_frames_are_echoed, one_small_frame_follows_a_large_one, input_is_kept_until_consumed, a_held_connection_pushes_back,
        put_back_with_hold_rests, output_stays_in_order, many_connections_at_once, both_directions_at_once;
    closing:
        flushing_close_delivers_all, a_hard_close_ends_both_sides, nobody_listens, late_events_never_reach_the_next_connection,
        a_closed_listener_refuses_and_connections_stay, giving_up_a_connect, close_while_sending_and_receiving,
        a_flushing_close_is_no_reset_to_who_sends_on, a_peer_that_never_closes_is_closed,
        a_peer_that_floods_a_closed_connection_is_closed;
}
