//! The built-in conversation templates, compared with texts written by hand.

use super::*;

const CHAT: [(char, &str); 5] = [
    ('s', "Be brief."),
    ('u', "Hi"),
    ('a', "Hello!"),
    ('u', "Why?"),
    ('a', "So."),
];

#[test]
fn rwkv_template_renders_chats() {
    let template = Template::Rwkv;
    assert_eq!(
        chat(&template, &CHAT),
        "<bos>System: Be brief.\n\nUser: Hi\n\nAssistant:« Hello!\n\n»\
         User: Why?\n\nAssistant:« So.»«<eos>»"
    );
    assert_eq!(
        prompt(&template, &CHAT[..4]),
        "<bos>System: Be brief.\n\nUser: Hi\n\nAssistant: Hello!\n\nUser: Why?\n\nAssistant:"
    );
    assert_eq!(template.stops(), ["\n\n"]);
    let row = single("Add.", "", "3");
    assert_eq!(
        shown(&template.pieces(&row).unwrap()),
        "<bos>User: Add.\n\nAssistant:« 3»«<eos>»"
    );
    let row = single("Add.", "1, 2", "3");
    assert_eq!(
        shown(&template.pieces(&row).unwrap()),
        "<bos>Instruction: Add.\n\nInput: 1, 2\n\nResponse:« 3»«<eos>»"
    );
}

#[test]
fn rwkv_has_no_blank_lines_within_messages() {
    let text = " \r\n one\r\n\r\n\n two\n three\n\n";
    assert_eq!(
        chat(&Template::Rwkv, &[('u', text), ('a', text)]),
        "<bos>User: one\n two\n three\n\nAssistant:« one\n two\n three»«<eos>»"
    );
    assert_eq!(
        chat(&Template::Rwkv, &[('u', ""), ('a', " \n")]),
        "<bos>User: \n\nAssistant:«»«<eos>»"
    );
    let error = error(&Template::Rwkv, &[('u', "q"), ('t', "21"), ('a', "x")]);
    let message = error.to_string();
    for part in [
        "message 2 is by tool",
        "'rwkv'",
        "only system, user and assistant",
    ] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
}

#[test]
fn llama2_chat_template_renders_chats() {
    let template = Template::Llama2Chat;
    assert_eq!(
        chat(&template, &CHAT),
        "<bos>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]« Hello! »«<eos>»\
         <bos>[INST] Why? [/INST]« So. »«<eos>»"
    );
    assert_eq!(
        prompt(&template, &CHAT[..4]),
        "<bos>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello! <eos><bos>[INST] Why? [/INST]"
    );
    assert!(template.stops().is_empty());
    let row = single("Add.", "1, 2", "3");
    assert_eq!(
        shown(&template.pieces(&row).unwrap()),
        "<bos>[INST] Add.\n\n1, 2 [/INST]« 3 »«<eos>»"
    );
    // Spaces around messages are removed, but not those between the system message and the question.
    assert_eq!(
        chat(&template, &[('s', " S "), ('u', "\n q \n"), ('a', " a\n")]),
        "<bos>[INST] <<SYS>>\n S \n<</SYS>>\n\n\n q [/INST]« a »«<eos>»"
    );
}

#[test]
fn llama2_chat_requires_alternating_turns() {
    let cases: [(&[(char, &str)], usize); 7] = [
        (&[('u', "1"), ('u', "2"), ('a', "3")], 2),
        (&[('a', "1")], 1),
        (&[('s', "1"), ('a', "2")], 2),
        (&[('u', "1"), ('s', "2"), ('a', "3")], 2),
        (&[('s', "1"), ('s', "2"), ('u', "3"), ('a', "4")], 2),
        (&[('u', "1"), ('a', "2"), ('a', "3")], 3),
        (&[('u', "1"), ('t', "2"), ('a', "3")], 2),
    ];
    for (turns, wrong) in cases {
        let error = error(&Template::Llama2Chat, turns).to_string();
        let expected = format!("message {wrong} is by ");
        assert!(error.starts_with(&expected), "{turns:?}: {error}");
    }
    let tool = messages(&[('u', "1"), ('a', "2"), ('t', "3")]);
    assert!(Template::Llama2Chat.prompt(&tool).is_err());
}

#[test]
fn chatml_template_renders_chats() {
    let template = Template::ChatMl;
    assert_eq!(
        chat(&template, &CHAT),
        "<bos><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n\
         <|im_start|>assistant\n«Hello!<|im_end|>»\n\
         <|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n«So.<|im_end|>»\n"
    );
    assert_eq!(
        prompt(&template, &[('u', "q"), ('a', "x"), ('t', " 21\n")]),
        "<bos><|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nx<|im_end|>\n\
         <|im_start|>tool\n 21\n<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(template.stops(), ["<|im_end|>"]);
    let row = single("Add.", "1, 2", "3");
    assert_eq!(
        shown(&template.pieces(&row).unwrap()),
        "<bos><|im_start|>user\nAdd.\n\n1, 2<|im_end|>\n<|im_start|>assistant\n«3<|im_end|>»\n"
    );
    // Any speaker may begin, and may speak repeatedly.
    assert_eq!(
        chat(&template, &[('a', "1"), ('a', "2")]),
        "<bos><|im_start|>assistant\n«1<|im_end|>»\n<|im_start|>assistant\n«2<|im_end|>»\n"
    );
}

#[test]
fn messages_after_last_answer_are_dropped() {
    for template in CHATS.into_iter().chain([jinja(MARKERS)]) {
        let mut longer = CHAT.to_vec();
        longer.extend([('u', "Thanks"), ('u', "Bye")]);
        assert_eq!(
            chat(&template, &longer),
            chat(&template, &CHAT),
            "{template}"
        );
    }
}
