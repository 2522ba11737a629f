import { openModel } from "./payload.js";

openModel(document.getElementById("model").textContent);
