//! `jackfield publish`: a publication from the command line.

use anyhow::Context;
use clap::Args;

use crate::cli::say;

/// `publish`.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The channel.
    channel: String,
    /// JSON; anything that is no JSON is published as a string.
    data: String,
    /// Where the server's internal port is.
    #[arg(long, default_value = "http://127.0.0.1:8401", env = "JACKFIELD_API_URL")]
    url: String,
    /// The key of the API [http_api.key].
    #[arg(long, env = "JACKFIELD_API_KEY", hide_env_values = true, default_value = "")]
    key: String,
}

impl Publish {
    /// Publishes, and says where the publication stands.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let data: serde_json::Value =
            serde_json::from_str(&self.data).unwrap_or_else(|_| serde_json::Value::String(self.data.clone()));
        let body = serde_json::json!({"channel": self.channel, "data": data}).to_string();
        let url = format!("{}/api/publish", self.url.trim_end_matches('/'));
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut response = ureq::Agent::new_with_config(config)
            .post(&url)
            .header("Content-Type", "application/json")
            .header("X-API-Key", &self.key)
            .send(&body)
            .with_context(|| format!("reach {url}: is the server running, and is that its internal port?"))?;
        let status = response.status();
        let text = response.body_mut().read_to_string().context("read the server's answer")?;
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(error) = answer.get("error") {
            anyhow::bail!("the server refused: {error}");
        }
        anyhow::ensure!(status.is_success(), "the server answered {status}: {}", text.trim());
        say(&answer["result"].to_string());
        Ok(())
    }
}
