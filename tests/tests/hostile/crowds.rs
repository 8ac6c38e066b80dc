//! Too many at the door.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use comity_model::Limits;
use comity_net::code;
use comity_tests::device::Device;
use comity_tests::raw::{Raw, STRANGER, connect};
use comity_tests::{http, memory, within};
use tokio::net::TcpStream;

use crate::scene::Scene;

fn stranger(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 2, number as u8))
}

/// Opens connections that say nothing, whether the relay lets them in or not.
async fn crowd(scene: &Scene, count: usize, from: impl Fn(usize) -> IpAddr) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for number in 0..count {
        crowd.extend(connect(from(number), scene.relay.address()).await);
    }
    crowd
}

/// Waits until the relay's door is as asked for.
async fn until(scene: &Scene, what: &str, holds: impl Fn(&serde_json::Value) -> bool) {
    within(what, async {
        while !holds(&scene.health().await) {
            // Another process: nothing tells when it has noticed.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

// Issue: connection flood, from one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_more_than_its_share() {
    let mut scene = Scene::new("").await;
    let limit = Limits::default().connections_per_address_max;
    let inside = crowd(&scene, limit, |_| STRANGER).await;
    let refused = http::exchange(STRANGER, scene.relay.address(), b"GET / HTTP/1.1\r\nhost: r\r\n\r\n").await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 503"), "{refused}");
    let outside = crowd(&scene, 300, |_| STRANGER).await;
    let new = Device::online(&scene.relay.url()).await;
    new.fetch(&scene.audit.to_string()).await;
    let refused = scene.health().await["refused"].as_u64().unwrap();
    assert!(refused >= 301, "{refused}");
    drop((inside, outside));
    until(&scene, "the crowd is gone", |health| health["connections"].as_u64() < Some(10)).await;
    Raw::joined(&scene.relay.url(), "back").await;
    scene.ends_well("557 connections from one address", "256 let in, 503 for the others").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_from_many_addresses_fills_the_relay_and_those_inside_go_on() {
    let mut scene = Scene::new("[limits]\nconnections_max = 64\nconnections_per_address_max = 8\n").await;
    let flood = crowd(&scene, 400, |number| stranger(number % 40)).await;
    scene.honest_people_go_on().await;
    // The monitor is turned away as well: even so, nothing stands still.
    let refused = http::exchange(STRANGER, scene.relay.address(), b"GET / HTTP/1.1\r\nhost: r\r\n\r\n").await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 503"), "{refused}");
    for _ in 0..20 {
        scene.honest_people_go_on().await;
    }
    drop(flood);
    until_let_in(&scene).await;
    until(&scene, "the crowd is gone", |health| health["connections"].as_u64() < Some(10)).await;
    scene.a_device_reconnects().await;
    scene.ends_well("400 connections from 40 addresses, 64 places", "64 let in, 503 for the others").await;
}

/// Waits until the relay lets anybody in again.
async fn until_let_in(scene: &Scene) {
    within("the relay lets people in again", async {
        while Raw::try_silent(STRANGER, &scene.relay.url(), "next").await.is_err() {
            // The relay learns in its own time that connections have ended.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A relay that may open few files keeps some for its store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_does_not_take_the_files_that_the_store_needs() {
    let mut scene = Scene::with_files("", Some(200)).await;
    assert_eq!(scene.health().await["connections_max"], 200 - 96);
    let flood = crowd(&scene, 400, |number| stranger(number % 4)).await;
    for _ in 0..20 {
        // Each is written to disk before it is acknowledged.
        scene.honest_people_go_on().await;
    }
    let open = memory::open_files(scene.relay.pid());
    assert!(open < 200 - 30, "{open} of 200 files are open");
    drop(flood);
    until_let_in(&scene).await;
    until(&scene, "the crowd is gone", |health| health["connections"].as_u64() < Some(10)).await;
    scene.ends_well("400 connections, `ulimit -n 200`", "104 places, 503 for the others").await;
}

// Issue: accept back-off on EMFILE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_files_the_relay_rests_and_recovers() {
    let mut scene = Scene::new("").await;
    let pid = scene.relay.pid();
    // The limit is lowered behind its back, so that it really runs into it.
    set_files_max(pid, memory::open_files(pid) + 20);
    let flood = crowd(&scene, 60, |_| STRANGER).await;
    // What its sockets and its store have open is enough for the honest.
    for _ in 0..20 {
        scene.honest_people_go_on().await;
    }
    let before = memory::processor_time(pid);
    // Two seconds in which nothing happens. Who spins has used a good part of a core then, however busy the machine.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = memory::processor_time(pid) - before;
    assert!(used < Duration::from_millis(120), "{used:?} of processor time in two quiet seconds: it spins");
    assert!(memory::open_files(pid) >= 20, "the test reaches the limit");
    drop(flood);
    until_let_in(&scene).await;
    set_files_max(pid, 4_096);
    scene.a_device_reconnects().await;
    scene.ends_well("60 connections, files for 20", "the others wait at the door").await;
}

fn set_files_max(pid: u32, files: usize) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={files}:")]).status();
    assert!(status.expect("prlimit, of util-linux, is there").success());
}

// Issue: stolen peer id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_all_places_of_a_name_does_not_lock_its_owner_out() {
    let mut scene = Scene::new("").await;
    let places = Limits::default().connections_per_identity_max;
    let url = scene.relay.url();
    let mut thieves = Vec::new();
    for _ in 0..places {
        thieves.push(Raw::joined_from(STRANGER, &url, "victim").await);
    }
    let mut one_more = Raw::joined_from(STRANGER, &url, "victim").await;
    assert_eq!(one_more.closed().await.1.code, code::TRY_LATER, "one more from there");
    let mut owner = Raw::joined_from(stranger(1), &url, "victim").await;
    assert!(owner.is_answered(scene.audit).await, "the owner is served");
    let youngest = thieves.last_mut().unwrap();
    assert_eq!(youngest.closed().await.1.code, code::TRY_LATER, "the youngest of theirs gave way");
    assert!(thieves[0].is_answered(scene.audit).await, "the others stay");
    // Up to half of the places, and no further: else both would take turns for ever.
    let mut owners = vec![owner];
    for _ in 1..places / 2 {
        owners.push(Raw::joined_from(stranger(1), &url, "victim").await);
    }
    assert!(owners.last_mut().unwrap().is_answered(scene.audit).await);
    let mut one_more = Raw::joined_from(stranger(1), &url, "victim").await;
    assert_eq!(one_more.closed().await.1.code, code::TRY_LATER);
    for peer in thieves[..places / 2].iter_mut().chain(&mut owners) {
        assert!(peer.is_answered(scene.audit).await);
    }
    scene
        .ends_well(
            "16 connections under a stolen peer id",
            "its owner gets up to 8 of the places: 1013 to the youngest",
        )
        .await;
}
