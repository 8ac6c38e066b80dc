use std::future::poll_fn;
use std::net::IpAddr;

use tokio::time::{advance, timeout};

use super::*;

const MESSAGE: usize = 10 * BLOCK_BYTES;

fn network(last: u8) -> Option<Network> {
    Some(IpAddr::from([192, 0, 2, last]).into())
}

async fn hold(seat: &mut Seat, bytes: usize) -> Result<(), NoRoom> {
    poll_fn(|cx| seat.poll_hold(cx, bytes)).await
}

/// Whether it gets the room within a few seconds of the paused clock.
async fn soon(seat: &mut Seat, bytes: usize) -> Option<Result<(), NoRoom>> {
    timeout(Duration::from_secs(5), hold(seat, bytes)).await.ok()
}

fn is_cut(seat: &Seat) -> bool {
    seat.is_cut()
}

#[tokio::test(start_paused = true)]
async fn short_messages_take_no_room_however_many() {
    let room = Room::new(2 * MESSAGE, MESSAGE);
    let mut seats: Vec<_> = (0..1_000).map(|_| room.seat(network(1))).collect();
    for seat in &mut seats {
        hold(seat, FREE_BYTES).await.unwrap();
    }
    assert_eq!(room.taken_bytes(), 0);
    hold(&mut seats[0], FREE_BYTES + 1).await.unwrap();
    assert_eq!(room.taken_bytes(), BLOCK_BYTES);
    seats[0].release();
    assert_eq!(room.taken_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_room_is_given_out_to_the_last_block_and_who_is_one_too_many_waits_for_what_is_taken() {
    let room = Room::new(2 * MESSAGE, MESSAGE);
    let [mut first, mut second, mut third] = [1, 2, 3].map(|last| room.seat(network(last)));
    hold(&mut first, FREE_BYTES + MESSAGE).await.unwrap();
    hold(&mut second, FREE_BYTES + MESSAGE).await.unwrap();
    assert_eq!(room.taken_bytes(), 2 * MESSAGE, "the last block");
    first.is_whole();
    second.is_whole();
    assert_eq!(soon(&mut third, FREE_BYTES + 1).await, None, "whole messages are not cut, they are waited for");
    first.release();
    assert_eq!(soon(&mut third, FREE_BYTES + MESSAGE).await, Some(Ok(())));
    assert_eq!(room.cut(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_stalls_is_cut_for_who_waits_and_the_network_that_holds_the_most_pays() {
    let room = Room::new(3 * MESSAGE, MESSAGE);
    let [mut slow, mut greedy, mut greedy_too, mut honest] = [1, 2, 2, 3].map(|last| room.seat(network(last)));
    hold(&mut slow, FREE_BYTES + BLOCK_BYTES).await.unwrap();
    hold(&mut greedy, FREE_BYTES + MESSAGE).await.unwrap();
    hold(&mut greedy_too, FREE_BYTES + MESSAGE).await.unwrap();
    advance(Duration::from_secs(20)).await;
    assert_eq!(timeout(Duration::from_millis(500), hold(&mut honest, FREE_BYTES + MESSAGE)).await.ok(), None);
    assert!(is_cut(&greedy) != is_cut(&greedy_too), "one of them");
    assert!(!is_cut(&slow), "slower, but it holds less");
    assert_eq!(hold(if is_cut(&greedy) { &mut greedy } else { &mut greedy_too }, MESSAGE).await, Err(NoRoom));
    // Its connection ends.
    drop(if is_cut(&greedy) { greedy } else { greedy_too });
    assert_eq!(soon(&mut honest, FREE_BYTES + MESSAGE).await, Some(Ok(())));
    assert_eq!(room.cut(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_sends_at_a_fair_pace_is_waited_for() {
    let room = Room::new(MESSAGE + BLOCK_BYTES, MESSAGE);
    let mut steady = room.seat(network(1));
    let mut waiting = room.seat(network(2));
    for blocks in 1..=10 {
        hold(&mut steady, FREE_BYTES + blocks * BLOCK_BYTES).await.unwrap();
        advance(Duration::from_millis(400)).await;
    }
    hold(&mut waiting, FREE_BYTES + BLOCK_BYTES).await.unwrap();
    assert_eq!(timeout(Duration::from_millis(500), hold(&mut waiting, FREE_BYTES + MESSAGE)).await.ok(), None);
    assert!(!is_cut(&steady) && !is_cut(&waiting));
    drop(steady);
    assert_eq!(soon(&mut waiting, FREE_BYTES + MESSAGE).await, Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn who_has_sent_much_and_then_nothing_is_not_waited_for_until_its_average_is_bad() {
    let megabytes = 256 * BLOCK_BYTES;
    let room = Room::new(megabytes, megabytes);
    let (mut stalled, mut waiting) = (room.seat(network(1)), room.seat(network(2)));
    // All at once: its average is that of a fair pace for two minutes.
    hold(&mut stalled, FREE_BYTES + room.blocks_max * BLOCK_BYTES).await.unwrap();
    advance(STALL_AFTER - Duration::from_secs(1)).await;
    assert_eq!(timeout(Duration::from_millis(900), hold(&mut waiting, MESSAGE)).await.ok(), None);
    assert!(!is_cut(&stalled), "everybody may pause for a while");
    assert_eq!(timeout(Duration::from_millis(300), hold(&mut waiting, MESSAGE)).await.ok(), None);
    assert!(is_cut(&stalled));
    drop(stalled);
    assert_eq!(soon(&mut waiting, MESSAGE).await, Some(Ok(())));
}

/// Their connections end in their own time: on a busy machine that is not at once.
#[tokio::test(start_paused = true)]
async fn of_many_who_hold_a_little_several_are_cut_without_waiting_for_each() {
    let room = Room::new(32 * BLOCK_BYTES, MESSAGE);
    let mut crowd: Vec<_> = (0..32).map(|number| room.seat(network(number % 8))).collect();
    let mut honest = room.seat(network(9));
    for seat in &mut crowd {
        hold(seat, FREE_BYTES + BLOCK_BYTES).await.unwrap();
    }
    advance(STALL_AFTER).await;
    assert_eq!(timeout(Duration::from_millis(950), hold(&mut honest, FREE_BYTES + MESSAGE)).await.ok(), None);
    let cut = crowd.iter().filter(|seat| is_cut(seat)).count();
    assert_eq!(cut, 32 / RETURNING_SHARE, "until a good part of the room is on its way back");
    crowd.retain(|seat| !is_cut(seat));
    assert_eq!(timeout(Duration::from_millis(950), hold(&mut honest, FREE_BYTES + MESSAGE)).await.ok(), None);
    assert_eq!(crowd.iter().filter(|seat| is_cut(seat)).count(), cut, "and then the next");
}

#[tokio::test(start_paused = true)]
async fn in_a_small_room_who_stalls_is_cut_too() {
    for blocks in [1, 2, 7, 8] {
        let message = (blocks - 1) * BLOCK_BYTES;
        let room = Room::new(blocks * BLOCK_BYTES, message);
        assert_eq!(room.blocks_max, blocks);
        let (mut stalled, mut waiting) = (room.seat(network(1)), room.seat(network(2)));
        hold(&mut stalled, FREE_BYTES + blocks * BLOCK_BYTES).await.unwrap();
        advance(STALL_AFTER).await;
        assert_eq!(timeout(Duration::from_millis(950), hold(&mut waiting, FREE_BYTES + 1)).await.ok(), None);
        assert!(is_cut(&stalled), "{blocks} blocks");
        assert_eq!(room.cut(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_for_each_other_are_not_stuck() {
    let room = Room::new(2 * MESSAGE, MESSAGE);
    let mut running = Vec::new();
    for last in 1..=4 {
        let mut seat = room.seat(network(last));
        running.push(tokio::spawn(async move {
            for blocks in 1..=10 {
                hold(&mut seat, FREE_BYTES + blocks * BLOCK_BYTES).await?;
                tokio::task::yield_now().await;
            }
            Ok::<(), NoRoom>(())
        }));
    }
    let mut through = 0;
    for task in running {
        through += usize::from(task.await.unwrap().is_ok());
    }
    assert!((2..4).contains(&through), "{through} of 4 got through, {} were cut", room.cut());
    assert_eq!(room.taken_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_free_goes_to_the_network_with_the_fewest_messages() {
    let room = Room::new(2 * MESSAGE, MESSAGE);
    let mut first = room.seat(network(1));
    let mut second = room.seat(network(1));
    hold(&mut first, FREE_BYTES + MESSAGE).await.unwrap();
    hold(&mut second, FREE_BYTES + MESSAGE).await.unwrap();
    first.is_whole();
    second.is_whole();
    let (order, mut came) = tokio::sync::mpsc::unbounded_channel();
    for last in [1, 1, 2] {
        let (mut seat, order) = (room.seat(network(last)), order.clone());
        tokio::spawn(async move {
            hold(&mut seat, FREE_BYTES + MESSAGE).await.unwrap();
            seat.is_whole();
            order.send(last).unwrap();
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
    }
    first.release();
    assert_eq!(came.recv().await, Some(2), "though it came last");
    second.release();
    assert_eq!(came.recv().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_has_stopped_looking_does_not_hold_the_others_up() {
    let room = Room::new(2 * MESSAGE, MESSAGE);
    let mut whole = [room.seat(network(1)), room.seat(network(2))];
    for seat in &mut whole {
        hold(seat, FREE_BYTES + MESSAGE).await.unwrap();
        seat.is_whole();
    }
    let mut ending = room.seat(network(3));
    tokio::spawn(async move {
        let _ = timeout(Duration::from_millis(50), hold(&mut ending, MESSAGE)).await;
        // It keeps its seat and does not look any more.
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    let mut next = room.seat(network(4));
    assert_eq!(timeout(Duration::from_millis(50), hold(&mut next, MESSAGE)).await.ok(), None);
    let [first, _second] = whole;
    drop(first);
    assert_eq!(soon(&mut next, MESSAGE).await, Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn one_message_of_the_limit_has_room_whatever_the_settings_say() {
    let room = Room::new(1, MESSAGE);
    assert_eq!(soon(&mut room.seat(None), MESSAGE).await, Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn the_work_for_a_crowd_that_waits_grows_with_the_crowd_and_not_with_its_square() {
    const CROWD: usize = 400;
    let room = Room::new(CROWD * BLOCK_BYTES, MESSAGE);
    let mut holding: Vec<_> = (0..CROWD).map(|_| room.seat(network(1))).collect();
    for seat in &mut holding {
        hold(seat, FREE_BYTES + BLOCK_BYTES).await.unwrap();
        seat.is_whole();
    }
    assert!(room.lock().visited <= 2 * CROWD, "{} visits to hand out {CROWD} blocks", room.lock().visited);
    room.lock().visited = 0;
    let waiting: Vec<_> = (0..CROWD)
        .map(|number| {
            let mut seat = room.seat(network(2 + (number % 100) as u8));
            tokio::spawn(async move { timeout(Duration::from_secs(1), hold(&mut seat, MESSAGE)).await.is_err() })
        })
        .collect();
    for task in waiting {
        assert!(task.await.unwrap(), "nobody leaves");
    }
    // Ten looks in a second, and one to begin with. Those who leave wake the next.
    let visited = room.lock().visited;
    assert!(visited <= 11 * 2 * CROWD + 2 * CROWD, "{visited} visits");
}
