//! Whatever comes to the door of history, what is admitted is content that a model API takes (I11).

use _core::content::{Sender, admit, repaired};
use base64::Engine;
use proptest::prelude::*;
use serde_json::{Value, json};

fn encoded(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub fn png(width: u32, height: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![7; (width * height) as usize]).unwrap();
    writer.finish().unwrap();
    out
}

fn gif() -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = gif::Encoder::new(&mut out, 3, 2, &[0, 0, 0, 255, 255, 255]).unwrap();
    for _ in 0..2 {
        encoder.write_frame(&gif::Frame::from_palette_pixels(3, 2, [0, 1, 0, 1, 0, 1], &[][..], None)).unwrap_or(());
        let frame = gif::Frame { width: 3, height: 2, buffer: vec![0, 1, 0, 1, 0, 1].into(), ..Default::default() };
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    out
}

fn webp() -> Vec<u8> {
    let mut out = Vec::new();
    image_webp::WebPEncoder::new(&mut out).encode(&[9; 2 * 2 * 3], 2, 2, image_webp::ColorType::Rgb8).unwrap();
    out
}

/// One pixel.
const JPEG: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPxA=";

fn pdf() -> Vec<u8> {
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type /Page>>endobj\nstartxref\n9\n%%EOF\n".to_vec()
}

fn image(media_type: &str, bytes: &[u8]) -> Value {
    json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": encoded(bytes)}})
}

fn admitted(content: &Value) -> Vec<Value> {
    let json = content.to_string();
    let once = admit(json.as_bytes(), Sender::Tool).unwrap();
    let twice = admit(&once.blocks, Sender::Tool).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&twice.blocks),
        String::from_utf8_lossy(&once.blocks),
        "admitting is idempotent"
    );
    assert!(twice.notes.is_empty(), "{:?}", twice.notes);
    assert!(admit(&once.blocks, Sender::Person).is_ok(), "a person may send what was admitted");
    let blocks: Vec<Value> = serde_json::from_slice(&once.blocks).unwrap();
    assert!(!blocks.is_empty());
    blocks.iter().for_each(assert_taken);
    blocks
}

fn refused(content: &Value) -> String {
    admit(content.to_string().as_bytes(), Sender::Person).expect_err("a person must hear of it").text().to_owned()
}

/// What the API takes of a user's block.
fn assert_taken(block: &Value) {
    let keys: Vec<&str> = block.as_object().unwrap().keys().map(String::as_str).collect();
    match block["type"].as_str().unwrap() {
        "text" => {
            assert_eq!(keys, ["text", "type"]);
            let text = block["text"].as_str().unwrap();
            assert!(!text.trim().is_empty() && !text.contains('\0'));
        }
        "image" => {
            assert_eq!(keys, ["source", "type"]);
            let source = &block["source"];
            let bytes = base64::engine::general_purpose::STANDARD.decode(source["data"].as_str().unwrap()).unwrap();
            let media_type = match &bytes[..4] {
                b"\x89PNG" => "image/png",
                b"GIF8" => "image/gif",
                b"RIFF" => "image/webp",
                _ => "image/jpeg",
            };
            assert_eq!(source["media_type"], media_type);
        }
        "document" => assert!(keys.iter().all(|key| ["source", "title", "type"].contains(key))),
        other => panic!("a block of type {other} is not taken"),
    }
}

fn said(blocks: &[Value]) -> &str {
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    blocks[0]["text"].as_str().unwrap()
}

#[test]
fn whole_images_of_every_type_are_admitted_as_what_they_are() {
    let jpeg = base64::engine::general_purpose::STANDARD.decode(JPEG).ok();
    let samples = [("image/png", png(3, 2)), ("image/gif", gif()), ("image/webp", webp())];
    for (media_type, bytes) in
        samples.into_iter().chain(jpeg.map(|bytes| ("image/jpeg", [bytes, b"\xff\xd9".to_vec()].concat())))
    {
        for said in [media_type, "image/png", "image/bmp", "", "text/html"] {
            let blocks = admitted(&json!([image(said, &bytes)]));
            assert_eq!(blocks[0]["source"]["media_type"], media_type, "{said}");
        }
    }
}

#[test]
fn an_image_that_is_cut_off_anywhere_becomes_a_sentence() {
    for bytes in [png(30, 20), gif(), webp()] {
        for length in 0..bytes.len() {
            let blocks = admitted(&json!([image("image/png", &bytes[..length])]));
            assert!(said(&blocks).starts_with("[left out: an image"), "{length} of {}", bytes.len());
        }
    }
}

#[test]
fn an_image_with_damage_becomes_a_sentence() {
    let mut bytes = png(30, 20);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    assert!(said(&admitted(&json!([image("image/png", &bytes)]))).contains("damaged"));
    assert!(refused(&json!([image("image/png", &bytes)])).starts_with("content[0]: an image"));
}

#[test]
fn images_outside_the_limits_are_told_in_words() {
    assert!(said(&admitted(&json!([image("image/png", &png(8_001, 1))]))).contains("8001×1"));
    assert!(admitted(&json!([image("image/png", &png(8_000, 1))]))[0]["type"] == "image");
    let large = [png(1, 1), vec![0; 4 << 20]].concat();
    assert!(said(&admitted(&json!([image("image/png", &large)]))).contains("at most 5242880"));
    for (bytes, words) in [
        (&b"BM123456"[..], "image/bmp"),
        (b"II\x2a\0rest", "image/tiff"),
        (b"<svg xmlns='x'/>", "image/svg+xml"),
        (b"\0\0\0\x20ftypheic", "image/heic"),
        (b"<html>404</html>", "no known type"),
        (b"", "empty"),
    ] {
        assert!(said(&admitted(&json!([image("image/png", bytes)]))).contains(words), "{words}");
    }
    let no_pixels = {
        let mut bytes = png(1, 1);
        bytes[16..20].fill(0);
        bytes
    };
    assert!(said(&admitted(&json!([image("image/png", &no_pixels)]))).contains("without pixels"));
}

#[test]
fn base64_is_put_right_where_its_meaning_is_clear() {
    let bytes = png(3, 2);
    let plain = encoded(&bytes);
    let lines =
        plain.as_bytes().chunks(20).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\r\n");
    let address = plain.replace('+', "-").replace('/', "_");
    for data in [lines, address, format!("data:image/png;base64,{plain}"), plain.trim_end_matches('=').to_owned()] {
        let block = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
        assert_eq!(admitted(&json!([block]))[0]["source"]["data"], plain);
    }
    for data in ["%%%", "", "====", "a", "\u{e9}", "iVBORw0KGgo"] {
        let block = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
        assert!(said(&admitted(&json!([block]))).starts_with("[left out: an image"), "{data}");
    }
}

#[test]
fn what_only_the_runtime_makes_and_what_nobody_knows_is_refused() {
    for block in [
        json!({"type": "tool_use", "id": "x", "name": "y", "input": {}}),
        json!({"type": "tool_result", "tool_use_id": "x"}),
        json!({"type": "thinking", "thinking": "x", "signature": "y"}),
        json!({"type": "redacted_thinking", "data": "x"}),
        json!({"type": "server_tool_use"}),
        json!({"type": 1}),
        json!({"text": "x"}),
        json!("text"),
        json!(null),
        json!([]),
        json!({"type": "text"}),
        json!({"type": "text", "text": 5}),
        json!({"type": "image"}),
        json!({"type": "image", "source": null}),
        json!({"type": "image", "source": {"type": "url", "url": "https://x.example"}}),
        json!({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
        json!({"type": "document", "source": {"type": "url", "url": "https://x.example"}}),
        json!({"type": "document"}),
    ] {
        assert!(said(&admitted(&json!([block]))).starts_with("[left out: "), "{block}");
        assert!(refused(&json!([{"type": "text", "text": "look"}, block])).starts_with("content[1]: "));
    }
}

#[test]
fn fields_that_the_api_does_not_know_never_reach_it() {
    let marked = json!([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]);
    assert_eq!(admitted(&marked), [json!({"type": "text", "text": "x"})]);
    assert!(refused(&marked).contains("\"cache_control\""));
    let unknown = json!([{"type": "text", "text": "x", "weight": 2}]);
    assert_eq!(admitted(&unknown), [json!({"type": "text", "text": "x"})]);
    assert!(refused(&unknown).contains("\"weight\""));
}

#[test]
fn empty_content_is_said_to_be_empty() {
    for content in
        [json!([]), json!([{"type": "text", "text": " \n\u{feff}\u{200b}\0"}]), json!([{"type": "text", "text": ""}])]
    {
        assert_eq!(said(&admitted(&content)), "(empty)");
        assert!(refused(&content).contains("empty"));
    }
    for content in [&b"{}"[..], b"", b"[", b"null", b"\"x\"", b"[{\"type\":\"text\"", b"\xff"] {
        assert!(admit(content, Sender::Tool).is_err());
    }
}

#[test]
fn a_document_is_words_or_a_whole_pdf() {
    let words = json!([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "body"}, "title": "head"}]);
    assert_eq!(said(&admitted(&words)), "head\n\nbody");
    let parts = json!([{"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "part"}, image("image/png", &png(1, 1))]}}]);
    assert_eq!(admitted(&parts).len(), 2);
    let paper = |bytes: &[u8]| json!([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": encoded(bytes)}, "title": "t"}]);
    assert_eq!(admitted(&paper(&pdf()))[0]["type"], "document");
    let cut = &pdf()[..60];
    assert!(said(&admitted(&paper(cut))).contains("cut off"));
    assert!(said(&admitted(&paper(b"hello"))).contains("not a PDF"));
    let locked = [&b"%PDF-1.7\n"[..], b"/Encrypt 5 0 R", &pdf()].concat();
    assert!(said(&admitted(&paper(&locked))).contains("password"));
    let long = [&b"%PDF-1.7\n"[..], &b"<</Type /Page>>".repeat(101), &pdf()].concat();
    assert!(said(&admitted(&paper(&long))).contains("pages"));
}

#[test]
fn halves_of_characters_in_keys_and_deep_nesting_are_no_way_past_the_door() {
    let half = admit(br#"[{"type":"text","text":"x\ud83d","k\ud83d":1}]"#, Sender::Tool).unwrap();
    assert_eq!(half.blocks, "[{\"type\":\"text\",\"text\":\"x\u{fffd}\"}]".as_bytes());
    let deep = format!(r#"[{{"type":"text","text":"x","y":{}1{}}}]"#, "[".repeat(50_000), "]".repeat(50_000));
    let blocks: Vec<Value> = serde_json::from_slice(
        &admit(deep.as_bytes(), Sender::Tool).map_or_else(|_| b"[]".to_vec(), |admitted| admitted.blocks),
    )
    .unwrap();
    blocks.iter().for_each(assert_taken);
}

fn strange_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        "[a\\\\ud83ed0-9\\\\\" \n]{0,12}".prop_map(|text| format!("\"{text}\"")),
        Just(r#""\ud83d\ude00\ud83d""#.to_owned()),
        Just(r#""\u0000 \u0000""#.to_owned()),
    ]
}

fn strange_value() -> impl Strategy<Value = String> {
    prop_oneof![
        strange_text(),
        Just("null".to_owned()),
        Just("1e999".to_owned()),
        Just("[[[]]]".to_owned()),
        Just(r#"{"type":"ephemeral"}"#.to_owned()),
        Just(format!(r#"{{"type":"base64","media_type":"image/png","data":"{}"}}"#, encoded(&png(2, 2)))),
        prop::collection::vec(any::<u8>(), 0..60)
            .prop_map(|bytes| format!(r#"{{"type":"base64","media_type":"image/gif","data":"{}"}}"#, encoded(&bytes))),
    ]
}

fn strange_block() -> impl Strategy<Value = String> {
    let kind = prop_oneof![Just("text"), Just("image"), Just("document"), Just("tool_use"), Just("x")];
    let field =
        prop_oneof![Just("text"), Just("source"), Just("cache_control"), Just("title"), Just("\\ud83d"), Just("id")];
    (kind, prop::collection::vec((field, strange_value()), 0..4)).prop_map(|(kind, fields)| {
        let rest: String = fields.into_iter().map(|(name, value)| format!(r#","{name}":{value}"#)).collect();
        format!(r#"{{"type":"{kind}"{rest}}}"#)
    })
}

proptest! {
    #[test]
    fn anything_is_refused_or_admitted_as_content_that_the_api_takes(blocks in prop::collection::vec(strange_block(), 0..5)) {
        let json = format!("[{}]", blocks.join(","));
        if let Ok(once) = admit(json.as_bytes(), Sender::Tool) {
            let values: Vec<Value> = serde_json::from_slice(&once.blocks).unwrap();
            prop_assert!(!values.is_empty());
            values.iter().for_each(assert_taken);
            let twice = admit(&once.blocks, Sender::Tool).unwrap();
            prop_assert_eq!(&twice.blocks, &once.blocks);
            prop_assert!(admit(&once.blocks, Sender::Person).is_ok());
        } else {
            prop_assert!(serde_json::from_slice::<Value>(&repaired(json.as_bytes())).is_err());
        }
        if let Ok(person) = admit(json.as_bytes(), Sender::Person) {
            let values: Vec<Value> = serde_json::from_slice(&person.blocks).unwrap();
            values.iter().for_each(assert_taken);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = admit(&bytes, Sender::Tool);
        let once = repaired(&bytes).into_owned();
        prop_assert_eq!(&*repaired(&once), &*once);
    }

    #[test]
    fn damaged_images_are_survived(kind in 0..3usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let mut bytes = [png(9, 7), gif(), webp()][kind].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        admitted(&json!([image("image/png", &bytes)]));
    }
}
