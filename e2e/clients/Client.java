import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;

/** Java's HttpClient with its defaults: it sends Upgrade: h2c. client_test.go documents input and output. */
public class Client {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] fields = line.split("\t");
            for (int i = 0; i < Integer.parseInt(fields[2]); i++) {
                run(client, fields[0], fields[1], fields[3], Integer.parseInt(fields[4]));
            }
        }
    }

    static void run(HttpClient client, String method, String url, String file, int length) throws Exception {
        HttpRequest.BodyPublisher body = HttpRequest.BodyPublishers.noBody();
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
        if (length > 0) {
            request.header("X-Big", "a".repeat(length));
        }
        if (!file.equals("-")) {
            request.header("Content-Type", "application/json");
            body = HttpRequest.BodyPublishers.ofFile(Path.of(file));
        }
        boolean stream = method.equals("STREAM");
        request.method(stream ? "GET" : method, body);
        HttpResponse<InputStream> answer = client.send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        try (InputStream in = answer.body()) {
            if (stream) {
                for (int b; (b = in.read()) >= 0; ) {
                    all.write(b);
                    if (b == '\n') {
                        System.out.println("first " + all.toString().trim());
                        break;
                    }
                }
            }
            in.transferTo(all);
        }
        String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(all.toByteArray()));
        System.out.println(answer.statusCode() + " " + all.size() + " " + digest + " " + answer.uri());
    }
}
