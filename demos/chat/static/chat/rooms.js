// The list of rooms: it opens a connection for what is said to the user.

import { hearPersonal } from "../demo/personal.js";

hearPersonal();
