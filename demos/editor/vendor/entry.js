// What the editor's page takes from npm, unmodified: Yjs, its WebSocket provider, Quill with a binding to Yjs.

import Quill from "quill/core";
import Block from "quill/formats/blockquote";
import Bold from "quill/formats/bold";
import CodeBlock from "quill/formats/code";
import Header from "quill/formats/header";
import Italic from "quill/formats/italic";
import Link from "quill/formats/link";
import List from "quill/formats/list";
import Strike from "quill/formats/strike";
import Underline from "quill/formats/underline";
import Cursors from "quill-cursors";
import { QuillBinding } from "y-quill";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

for (const format of [Block, Bold, CodeBlock, Header, Italic, Link, List, Strike, Underline]) Quill.register(format, true);
Quill.register("modules/cursors", Cursors);

const Delta = Quill.import("delta");
const { Doc, UndoManager, applyUpdate, encodeStateAsUpdate } = Y;

export { Delta, Doc, Quill, QuillBinding, UndoManager, WebsocketProvider, applyUpdate, encodeStateAsUpdate };
