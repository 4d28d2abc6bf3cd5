// What the tests hold on to.

import { JackfieldError, jackfield } from "./django_jackfield/jackfield.js";

window.jackfield = jackfield;
window.JackfieldError = JackfieldError;
window.heard = [];
window.states = [];
jackfield.on("state", (state, said) => {
  window.states.push({ state, at: performance.timeOrigin + performance.now(), ...said });
  document.getElementById("state")?.replaceChildren(state);
});
window.listen = (name, ...events) => {
  for (const event of events) {
    jackfield.channel(name).on(event, (data, message) => window.heard.push({ channel: name, event, data, from: message?.from?.user ?? null }));
  }
};
