import java.net.*;
import java.net.http.*;

// Ask asks a URL by both of Java's clients. Each sends credentials when it is asked for them.
public class Ask {
    public static void main(String[] args) throws Exception {
        URI uri = URI.create(args[0]);
        Authenticator credentials = new Authenticator() {
            @Override
            protected PasswordAuthentication getPasswordAuthentication() {
                return new PasswordAuthentication(args[1], args[2].toCharArray());
            }
        };
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
        connection.setAuthenticator(credentials);
        System.out.println(new String(connection.getInputStream().readAllBytes()));
        HttpClient client = HttpClient.newBuilder().authenticator(credentials).build();
        System.out.println(client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString()).body());
    }
}
