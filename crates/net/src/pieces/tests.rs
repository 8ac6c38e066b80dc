use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::protocol::frame::FrameSocket;

use super::header::MASKED;
use super::*;

/// A frame as a peer writes it.
fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { MASKED } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(masked | short as u8),
        long @ 126..0x1_0000 => {
            bytes.push(masked | 126);
            bytes.extend((long as u16).to_be_bytes());
        }
        huge => {
            bytes.push(masked | 127);
            bytes.extend((huge as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask.map_or(0, |mask| mask[at % 4])));
    bytes
}

/// Reads all, with a buffer of this size.
async fn through(pieces: &mut Pieces<&[u8]>, buffer: usize) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = vec![0; buffer];
    loop {
        let count = pieces.read(&mut buffer).await.unwrap();
        if count == 0 {
            return read;
        }
        read.extend(&buffer[..count]);
    }
}

/// What the library makes of a stream: first byte and payload of each frame, in order.
fn frames(stream: &[u8]) -> Vec<(bool, u8, Vec<u8>)> {
    let mut socket = FrameSocket::new(std::io::Cursor::new(stream.to_vec()));
    let mut frames = Vec::new();
    while let Ok(Some(mut frame)) = socket.read(None) {
        let head = frame.header();
        let (last, opcode, mask) = (head.is_final, u8::from(head.opcode), head.mask);
        frame.header_mut().mask = None;
        let payload = frame.into_payload();
        let plain = payload.iter().enumerate().map(|(at, byte)| byte ^ mask.map_or(0, |mask| mask[at % 4]));
        frames.push((last, opcode, plain.collect()));
    }
    frames
}

/// Puts fragments together; control frames stand where they came.
fn messages(stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut done = Vec::new();
    let mut open: Option<(u8, Vec<u8>)> = None;
    for (last, opcode, payload) in frames(stream) {
        if opcode >= CONTROL {
            done.push((opcode, payload));
            continue;
        }
        let message = match opcode {
            0 => open.get_or_insert((0, Vec::new())),
            _ => open.insert((opcode, Vec::new())),
        };
        message.1.extend(payload);
        if last {
            done.extend(open.take());
        }
    }
    done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_messages_are_the_same_and_no_frame_is_long(
        frames_in in prop::collection::vec(
            (prop::sample::select(vec![0x82_u8, 0x81, 0x02, 0x80, 0x00, 0x89, 0x8a]), any::<Option<[u8; 4]>>(),
                prop::sample::select(vec![0, 1, 5, 125, 126, 127, 4095, 4096, 4097, 8192, 65_535, 65_536, 70_001])),
            1..12),
        buffer in prop::sample::select(vec![1, 2, 3, 7, 256, 5_000]),
    ) {
        let mut stream = Vec::new();
        for (index, (first, mask, length)) in frames_in.iter().enumerate() {
            let length = if first & CONTROL == 0 { *length } else { *length % 126 };
            let payload: Vec<u8> = (0..length).map(|at| (at * 7 + index) as u8).collect();
            stream.extend(frame(*first, *mask, &payload));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let cut = runtime.block_on(through(&mut Pieces::new(BufReader::new(&stream[..]), 1 << 20, None), buffer));
        prop_assert_eq!(messages(&cut), messages(&stream));
        prop_assert!(frames(&cut).iter().all(|(_, _, payload)| payload.len() <= PIECE_BYTES));
    }
}

#[tokio::test]
async fn a_frame_of_the_limit_is_cut_and_a_longer_one_passes_as_it_came() {
    let limit = 10_000;
    let at_limit = frame(0x82, Some([1, 2, 3, 4]), &vec![7; limit]);
    let cut = through(&mut Pieces::new(BufReader::new(&at_limit[..]), limit, None), 256).await;
    assert_eq!(frames(&cut).len(), 3);
    let longer = frame(0x82, Some([1, 2, 3, 4]), &vec![7; limit + 1]);
    let passed = through(&mut Pieces::new(BufReader::new(&longer[..]), limit, None), 256).await;
    assert_eq!(passed, longer);
}

#[tokio::test]
async fn a_reader_gets_one_message_at_a_time() {
    let mut stream = frame(0x82, None, b"one");
    stream.extend(frame(0x82, None, &[2; 5_000]));
    stream.extend(frame(0x82, None, b""));
    let mut pieces = Pieces::new(BufReader::new(&stream[..]), 1 << 20, None);
    let mut buffer = vec![0; 1 << 16];
    for length in [2 + 3, 4 + 4096 + 4 + 904, 2] {
        assert_eq!(pieces.read(&mut buffer).await.unwrap(), length);
    }
    assert_eq!(pieces.read(&mut buffer).await.unwrap(), 0);
}

#[tokio::test]
async fn the_head_of_an_answer_passes_untouched_and_frames_begin_behind_it() {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nx: \r\r\n\r\n";
    let mut stream = head.to_vec();
    stream.extend(frame(0x82, None, &[5; 9_000]));
    for buffer in [1, 3, 4_096] {
        let cut = through(&mut Pieces::after_head(BufReader::new(&stream[..]), 1 << 20), buffer).await;
        assert_eq!(&cut[..head.len()], head);
        assert_eq!(frames(&cut[head.len()..]).len(), 3);
        assert_eq!(messages(&cut[head.len()..]), [(2, vec![5; 9_000])]);
    }
}
