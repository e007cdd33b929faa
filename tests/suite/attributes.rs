//! The attributes of a service: whoever creates it defines them, and whoever opens it may require
//! some.

use iceoryx2::{
    prelude::*,
    service::attribute::{AttributeKey, AttributeValue},
};

use crate::identity::{Domain, assert_refused, builder};

fn key(text: &str) -> AttributeKey {
    text.try_into().unwrap()
}

fn value(text: &str) -> AttributeValue {
    text.try_into().unwrap()
}

#[test]
fn attributes_are_those_of_whoever_created_the_service_and_are_held_against_requirements() {
    // Keys before and after the one with several values.
    const DEFINED: [(&str, &str); 5] = [
        ("author", "nobody"),
        ("colour", "red"),
        ("colour", "green"),
        ("colour", "blue"),
        ("size", "4096"),
    ];
    let domain = Domain::new();
    let node = domain.node::<ipc::Service>("attributes");
    let other = domain.node::<ipc::Service>("other");
    let mut specifier = AttributeSpecifier::new();
    for (name, content) in DEFINED {
        specifier = specifier.define(&key(name), &value(content)).unwrap();
    }
    let created = builder(&node, "attributes").create_with_attributes(&specifier).unwrap();
    let verifier = AttributeVerifier::new;
    // Each of several values of a key satisfies a requirement.
    for (name, content) in DEFINED {
        let one = verifier().require(&key(name), &value(content)).unwrap();
        let opened = builder(&other, "attributes").open_with_attributes(&one).unwrap();
        assert_eq!(opened.attributes().number_of_attributes(), DEFINED.len());
        for name in ["author", "colour", "size"] {
            let defined = || DEFINED.iter().filter(|(of, _)| *of == name);
            let count = defined().count();
            assert_eq!(opened.attributes().number_of_key_values(&key(name)), count);
            let nth = |index| opened.attributes().key_value(&key(name), index);
            let mut values: Vec<_> = (0..count).map(|index| *nth(index).unwrap()).collect();
            let mut listed = Vec::new();
            opened.attributes().iter_key_values(&key(name), |value| {
                listed.push(*value);
                CallbackProgression::Continue
            });
            assert_eq!(values, listed);
            let mut expected: Vec<_> = defined().map(|(_, content)| value(content)).collect();
            values.sort();
            expected.sort();
            assert_eq!(values, expected);
            assert_eq!(nth(count), None);
        }
        assert_eq!(opened.attributes(), created.attributes());
        let one = verifier().require_key(&key(name)).unwrap();
        builder(&other, "attributes").open_or_create_with_attributes(&one).unwrap();
    }
    let all = DEFINED
        .iter()
        .try_fold(verifier(), |all, (name, content)| all.require(&key(name), &value(content)));
    builder(&other, "attributes").open_with_attributes(&all.unwrap()).unwrap();
    for unmet in [
        verifier().require(&key("colour"), &value("yellow")).unwrap(),
        verifier().require(&key("size"), &value("red")).unwrap(),
        verifier().require(&key("Colour"), &value("red")).unwrap(),
        verifier().require_key(&key("weight")).unwrap(),
        // Whichever of several is missing.
        verifier().require_key(&key("size")).unwrap().require_key(&key("weight")).unwrap(),
        verifier().require_key(&key("weight")).unwrap().require_key(&key("author")).unwrap(),
        verifier()
            .require(&key("colour"), &value("red"))
            .unwrap()
            .require_key(&key("weight"))
            .unwrap(),
        verifier()
            .require(&key("colour"), &value("red"))
            .unwrap()
            .require(&key("size"), &value("1"))
            .unwrap(),
    ] {
        let open = builder(&other, "attributes").open_with_attributes(&unmet);
        assert_refused(open, "IncompatibleAttributes");
        let either = builder(&other, "attributes").open_or_create_with_attributes(&unmet);
        assert_refused(either, "IncompatibleAttributes");
    }
    // Whoever creates it by the way defines what it requires.
    let wanted = verifier().require(&key("colour"), &value("grey")).unwrap();
    let by_the_way = builder(&node, "by the way").open_or_create_with_attributes(&wanted).unwrap();
    assert_eq!(by_the_way.attributes().key_value(&key("colour"), 0), Some(&value("grey")));
    drop((created, by_the_way, node, other));
    domain.close();
}
