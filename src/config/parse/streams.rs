//! Streams of messages as a file declares them: they can be asked, and what reads them is there.

use toml::de::DeTable;

use super::{Check, section_span};
use crate::config::{Config, KafkaConfig};

impl Check<'_> {
    /// Streams that could never be read.
    pub(super) fn streams(&mut self, config: &Config, root: &DeTable<'_>) {
        let webhooks = &config.sources.webhook;
        for (i, nats) in config.sources.nats.iter().enumerate() {
            let checked = nats.check().and_then(|()| nats.messages.check(webhooks));
            if let Err(why) = checked {
                self.error(&section_span(root, "nats", i), &why);
            }
        }
        for (i, kafka) in config.sources.kafka.iter().enumerate() {
            let checked = kafka.check();
            let checked = checked
                .and_then(|()| kafka.messages.check(webhooks))
                .and_then(|()| named_once(kafka));
            if let Err(why) = checked {
                self.error(&section_span(root, "kafka", i), &why);
            }
        }
    }
}

/// A topic that stands there twice would be read twice, and everything in it counted twice.
fn named_once(kafka: &KafkaConfig) -> Result<(), String> {
    let mut topics = kafka.topics.iter().enumerate();
    match topics.find(|(i, topic)| kafka.topics[..*i].contains(topic)) {
        None => Ok(()),
        Some((_, topic)) => Err(format!("`topics` names {topic:?} twice: leave one out")),
    }
}
