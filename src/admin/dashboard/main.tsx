/**
 * The dashboard's entry: puts the page into the document.
 */
import { render } from "preact";
import { App } from "./app.jsx";

const place = document.getElementById("page");
if (place !== null) render(<App asksToken={document.documentElement.dataset["token"] === "asked"} />, place);
