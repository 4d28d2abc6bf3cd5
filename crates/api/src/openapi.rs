//! The OpenAPI document, written from the tables that the parser reads by.

use jackfield_bridge::command::{Field, Kind, METHODS, Method, Shape, Table, Told};
use serde_json::{Map, Value, json};

use crate::batch::MOST_COMMANDS;
use crate::reply::status;

const ABOUT: &str = "Commands of the application to the server. Each method is a path. Errors of commands come with \
                     status 200 and `error` in the body, or, where the request has the header \
                     `X-Centrifugo-Error-Mode: transport` or the server's option `http_api.error_mode` says so, with a \
                     status of their own and the error as the body.";

/// The document, for an API with this prefix (which begins and ends with a slash).
pub(crate) fn document(prefix: &str) -> Vec<u8> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for method in METHODS {
        paths.insert(format!("/{}", method.name), path(method));
        schemas.insert(request_name(method), object(method.takes));
        schemas.insert(result_name(method), told(method.tells));
    }
    paths.insert("/batch".to_owned(), batch_path());
    schemas.insert("Error".to_owned(), error());
    schemas.insert("batch_request".to_owned(), batch_request());
    schemas.insert("batch_result".to_owned(), batch_result());
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Jackfield server API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": prefix.strip_suffix('/').filter(|prefix| !prefix.is_empty()).unwrap_or("/") }],
        "security": [{ "header": [] }, { "authorization": [] }, { "query": [] }],
        "paths": paths,
        "components": {
            "parameters": { "error_mode": error_mode() },
            "responses": refusals(),
            "schemas": schemas,
            "securitySchemes": {
                "header": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "authorization": {
                    "type": "apiKey", "in": "header", "name": "Authorization", "description": "`apikey KEY`",
                },
                "query": { "type": "apiKey", "in": "query", "name": "api_key" },
            },
        },
    });
    let mut text = format!("{document:#}").into_bytes();
    text.push(b'\n');
    text
}

fn request_name(method: &Method) -> String {
    format!("{}_request", method.name)
}

fn result_name(method: &Method) -> String {
    format!("{}_result", method.name)
}

fn path(method: &Method) -> Value {
    let needs_body = method.takes.iter().copied().flatten().any(|field| field.required);
    let result = json!({
        "oneOf": [
            { "type": "object", "required": ["result"], "properties": { "result": schema(&result_name(method)) } },
            failed(),
        ],
    });
    post(method.name, method.about, (&request_name(method), needs_body), result, method.errors)
}

fn batch_path() -> Value {
    let result = json!({ "oneOf": [schema("batch_result"), failed()] });
    post("batch", "Several commands in one request.", ("batch_request", true), result, &[107])
}

fn post(name: &str, about: &str, (request, needs_body): (&str, bool), result: Value, errors: &[u32]) -> Value {
    let codes = errors.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let mut responses = Map::new();
    for refusal in ["400", "401", "405", "408", "413", "503"] {
        responses.insert(refusal.to_owned(), json!({ "$ref": format!("#/components/responses/refused_{refusal}") }));
    }
    for code in errors.iter().chain(&[100]) {
        let status = status(*code).as_u16().to_string();
        let content = json!({ "application/json": { "schema": schema("Error") } });
        // Unreadable bodies have the same status as errors 107 and 108.
        if responses.contains_key(&status) {
            continue;
        }
        responses.insert(status, json!({ "description": "An error, in the mode `transport`.", "content": content }));
    }
    let content = json!({ "application/json": { "schema": result } });
    responses.insert("200".to_owned(), json!({ "description": "What came of it.", "content": content }));
    json!({
        "post": {
            "operationId": name,
            "summary": about,
            "description": format!("Errors: {codes}, and 100."),
            "parameters": [{ "$ref": "#/components/parameters/error_mode" }],
            "requestBody": { "required": needs_body, "content": { "application/json": { "schema": schema(request) } } },
            "responses": responses,
        },
    })
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn failed() -> Value {
    json!({ "type": "object", "required": ["error"], "properties": { "error": schema("Error") } })
}

fn error() -> Value {
    json!({
        "type": "object",
        "description": "Why a command failed.",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "integer", "description": "100 internal, 102 unknown channel, 104 method not found, 107 bad request, 108 not available, 111 too many requests, 112 unrecoverable position, 113 conflict." },
            "message": { "type": "string", "description": "What was wrong, and what would be right." },
        },
    })
}

fn error_mode() -> Value {
    json!({
        "name": "X-Centrifugo-Error-Mode",
        "in": "header",
        "required": false,
        "description": "`transport`: errors of commands have a status of their own.",
        "schema": { "type": "string", "enum": ["transport"] },
    })
}

/// What is no command is refused with a status and a text for people; `transport` errors share some statuses.
fn refusals() -> Value {
    let mut refusals = Map::new();
    for (status, why) in [
        ("400", "The body is no JSON. In the mode `transport` also errors 107 and 108, as JSON."),
        ("401", "The API key is wrong or missing."),
        ("405", "Commands are sent with POST."),
        ("408", "The body did not arrive in time."),
        ("413", "The body is too large."),
        ("503", "A worker is behind; the same again in a moment (`Retry-After`)."),
    ] {
        let mut content = Map::new();
        if status != "503" {
            content.insert("text/plain".to_owned(), json!({ "schema": { "type": "string" } }));
        }
        if status == "400" {
            content.insert("application/json".to_owned(), json!({ "schema": schema("Error") }));
        }
        if status == "503" {
            content.insert("application/json".to_owned(), json!({ "schema": failed() }));
        }
        refusals.insert(format!("refused_{status}"), json!({ "description": why, "content": content }));
    }
    Value::Object(refusals)
}

fn batch_request() -> Value {
    let methods: Map<String, Value> =
        METHODS.iter().map(|method| (method.name.to_owned(), schema(&request_name(method)))).collect();
    json!({
        "type": "object",
        "required": ["commands"],
        "additionalProperties": false,
        "properties": {
            "commands": {
                "type": "array",
                "maxItems": MOST_COMMANDS,
                "description": "Each an object with one method as its only key.",
                "items": {
                    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
                    "properties": methods,
                },
            },
            "parallel": {
                "type": ["boolean", "null"],
                "description": "Each may begin before the one before is done.",
            },
        },
    })
}

fn batch_result() -> Value {
    let mut results: Map<String, Value> =
        METHODS.iter().map(|method| (method.name.to_owned(), schema(&result_name(method)))).collect();
    results.insert("error".to_owned(), schema("Error"));
    json!({
        "type": "object",
        "required": ["replies"],
        "properties": {
            "replies": {
                "type": "array",
                "description": "In the order of the commands: the result below the name of the method, or `error`.",
                "items": { "type": "object", "minProperties": 1, "maxProperties": 1, "properties": results },
            },
        },
    })
}

/// What comes in: unknown fields are refused.
fn object(table: Table) -> Value {
    let fields = || table.iter().copied().flatten();
    let properties: Map<String, Value> = fields().map(|field| (field.name.to_owned(), taken(field))).collect();
    let required: Vec<&str> = fields().filter(|field| field.required).map(|field| field.name).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

/// `null` is as good as leaving an optional field out.
fn taken(field: &Field) -> Value {
    let mut schema = kind(field.kind);
    if let Value::Object(schema) = &mut schema {
        if !field.required
            && let Some(kind) = schema.get_mut("type")
        {
            *kind = json!([kind.take(), "null"]);
        }
        if !field.required
            && let Some(Value::Array(words)) = schema.get_mut("enum")
        {
            words.extend([json!(""), Value::Null]);
        }
        schema.insert("description".to_owned(), field.about.into());
    }
    schema
}

/// What goes out: more fields may come with time.
fn told(tells: &[Told]) -> Value {
    let properties: Map<String, Value> = tells
        .iter()
        .map(|told| {
            let mut schema = shape(told.shape);
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".to_owned(), told.about.into());
            }
            (told.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = tells.iter().filter(|told| told.always).map(|told| told.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn shape(shape: Shape) -> Value {
    match shape {
        Shape::List(tells) => json!({ "type": "array", "items": told(tells) }),
        Shape::Named(tells) => json!({ "type": "object", "additionalProperties": told(tells) }),
        Shape::Object(tells) => told(tells),
        Shape::Plain(plain) => kind(plain),
    }
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Any => json!({}),
        Kind::Base64 => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Object(table) => object(table),
        Kind::Tags => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
        Kind::Uuids => json!({ "type": "array", "items": { "type": "string", "format": "uuid" } }),
    }
}
